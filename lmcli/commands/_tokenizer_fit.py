"""`lmcli tokenizer fit`: fit an encoder's vocabulary to texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lmcli.commands._help import Command
from lmcli.commands._options import complete_checkpoints, output_options

if TYPE_CHECKING:
    from lmcli.environment import Environment
    from lmcli.render import Renderer

EPILOG = """\b
Examples:
  lmcli tokenizer fit all-minilm reviews.csv -o small --size 16000
  lmcli tokenizer fit all-minilm en.csv zh.csv -o both --add-characters
  lmcli tokenizer fit all-minilm en.csv zh.csv -o both --add-characters --pairs en-zh.tsv
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("ref", shell_complete=complete_checkpoints)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("-o", "--output", required=True, metavar="NAME", help="Its name, or a folder to write.")
@click.option("--size", metavar="N", type=click.IntRange(1), help="Pieces at most; else all that the texts use.")
@click.option("--add-characters", "characters", is_flag=True, help="Add the characters that it lacks.")
@click.option("--pairs", metavar="FILE", multiple=True, type=click.Path(),
              help="Sentences and their translations: from them new characters learn what they mean.")  # fmt: skip
@click.option("--from", "origin", metavar="LANG", help="Language in the pairs that the checkpoint knows.")
@click.option("--to", "target", metavar="LANG", help="Language in the pairs of the new characters.")
@click.option("--field", "--text-field", "fields", metavar="NAME", multiple=True,
              help="Column with texts; may be given several times.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a checkpoint that is there.")
@output_options
@click.pass_obj
def command(environment: Environment, renderer: Renderer, **values: Any) -> None:
    """Write the encoder REF with a vocabulary that fits the texts in FILEs: word pieces they do not use are dropped.

    Each piece costs an embedding. A smaller checkpoint is to be trained further, and one with new characters must be.
    """
    from lmcli.commands._vocabulary_fit import fit

    fit(environment, values, renderer)
