"""`lmcli quantize`: make a smaller checkpoint, in 8 or 4 bits, and say what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmcli.commands._help import Command
from lmcli.commands._options import complete_checkpoints, output_options

if TYPE_CHECKING:
    from lmcli.environment import Environment
    from lmcli.render import Renderer

EPILOG = """\b
Examples:
  lmcli quantize qwen3-0.6b
  lmcli quantize qwen3-0.6b --bits 4 -o small
  lmcli quantize distilbert-sentiment
  lmcli chat -m small
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("ref", shell_complete=complete_checkpoints)
@click.option("--bits", type=click.Choice(["8", "4"]), default="8", show_default=True, help="Bits of each weight.")
@click.option("-o", "--output", metavar="NAME", help="Its name, or a folder to write; else REF-int8 or REF-int4.")
@click.option("--text", "file", metavar="FILE", help="Compare both on this text.")
@click.option("--restore", is_flag=True, help="Write a quantized REF as other programs read it.")
@click.option("--force", is_flag=True, help="Replace a quantized checkpoint of that name.")
@output_options
@click.pass_obj
def command(
    environment: Environment, ref: str, bits: str, output: str | None, file: str | None, restore: bool, force: bool,
    renderer: Renderer,
) -> None:  # fmt: skip
    """Write the checkpoint REF with its weights in fewer bits, and compare the two.

    Of a decoder those of its linear layers in 8 bits or 4; of a classifier, a reader of answers or an encoder-decoder
    the embeddings, too, in 8.
    """
    from lmcli import checkpoints, engine
    from lmcli.commands._engine import EngineChoice
    from lmcli.commands._quantized import COLUMNS, record, rows, text_of
    from lmcli.types import Notice

    text, choice = text_of(file, environment.stdin), EngineChoice(environment, {"model": ref})
    before = choice.checkpoint("generate", renderer)
    form = "restored" if restore else f"int{bits}"
    name, folder = checkpoints.place_quantized(before, form, output, choice.settings, force)
    if restore:
        engine.restore(before, folder, renderer.report)
    else:
        engine.quantize(before, folder, int(bits), renderer.report)
    renderer.report(Notice(f"{name} is in {folder}; comparing it with {before.name}"))
    after = checkpoints.read(folder, name)
    comparison = engine.compare(before, after, text, choice.load_options, renderer.report)
    renderer.record(record(before, after, comparison), rows(before, after, comparison), COLUMNS)
