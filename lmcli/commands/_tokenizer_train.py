"""`lmcli tokenizer train`: learn a vocabulary from texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lmcli.commands._help import Command
from lmcli.commands._options import output_options

if TYPE_CHECKING:
    from lmcli.environment import Environment
    from lmcli.render import Renderer

EPILOG = """\b
Examples:
  lmcli tokenizer train --model bpe --size 16000 books/*.txt -o books-tokenizer
  lmcli tokenizer train --for masked --size 8000 reviews.csv -o reviews-tokenizer
  lmcli tokenizer train --for translate --languages en,zh pairs.tsv --model unigram -o en-zh
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("-o", "--output", required=True, metavar="FOLDER", type=click.Path(), help="The folder to write.")
@click.option("--model", "method", type=click.Choice(["bpe", "unigram"]), default="bpe", show_default=True,
              help="How pieces are chosen: byte-level BPE, or Unigram.")  # fmt: skip
@click.option("--size", metavar="N", type=click.IntRange(1), default=16000, show_default=True,
              help="Tokens in the vocabulary.")  # fmt: skip
@click.option("--for", "use", type=click.Choice(["causal", "masked", "translate"]), default="causal",
              show_default=True, help="What it is for decides its special tokens.")  # fmt: skip
@click.option("--field", "--text-field", "fields", metavar="NAME", multiple=True,
              help="Column with texts; may be given several times.")  # fmt: skip
@click.option("--languages", metavar="CODES", default="", help="Languages to translate into, as in en,zh.")
@click.option("--characters", is_flag=True, help="Chinese characters and their like are tokens of their own.")
@click.option("--texts", "sample", metavar="N", type=click.IntRange(1), default=200_000, show_default=True,
              help="Learn from so many texts at most, drawn at random.")  # fmt: skip
@click.option("--max-length", metavar="N", type=click.IntRange(1), default=512, show_default=True,
              help="Longest text, in tokens, that its checkpoints will read.")  # fmt: skip
@click.option("--seed", metavar="N", type=int, default=0, show_default=True, help="Decides which texts are drawn.")
@click.option("--force", is_flag=True, help="Replace a tokenizer that is there.")
@output_options
@click.pass_obj
def command(environment: Environment, renderer: Renderer, **values: Any) -> None:
    """Learn a vocabulary from the texts in FILEs and write tokenizer.json."""
    from lmcli.commands._vocabulary import train

    train(values, renderer)
