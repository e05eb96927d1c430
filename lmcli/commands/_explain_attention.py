"""`lmcli explain attention`: where each token of a short text looks, as a page or a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lmcli.commands._help import Command
from lmcli.commands._options import engine_options, output_options, want_input
from lmcli.commands._translating import language_code

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer

EPILOG = """\b
Examples:
  lmcli explain attention -o map.html "The cat sat on the mat because it was warm."
  lmcli explain attention -m distilbert-sst2 --head 3 -o map.svg "A film to love."
  lmcli explain attention --from en --to zh -o aligned.html "Where is the station?"
"""


@click.command(cls=Command, epilog=EPILOG, short_help="Draw where each token of a short text looks.")
@click.argument("text", required=False, metavar="[TEXT|FILE]")
@click.option("-o", "--output", metavar="OUT", required=True, type=click.Path(),
              help="File to write: .html to look around in, .svg for one picture, .json for the numbers.")  # fmt: skip
@click.option("--layer", metavar="N", type=click.IntRange(1), help="Layer to show, from 1.  [default: the last]")
@click.option("--head", metavar="N", type=click.IntRange(1), help="Head to show, from 1.  [default: the mean of all]")
@click.option("--from", "source", metavar="LANGUAGE", callback=language_code, help="Language of the text.")
@click.option("--to", "target", metavar="LANGUAGE", callback=language_code,
              help="Language to translate it into: shows what each word was read from.")  # fmt: skip
@click.option("--translation", "written", metavar="TEXT", help="Look at this translation, not at the checkpoint's own.")
@engine_options
@output_options
@click.pass_context
def command(
    ctx: click.Context, text: str | None, output: str, layer: int | None, head: int | None, engine: EngineChoice,
    renderer: Renderer, **wish: Any,
) -> None:  # fmt: skip
    """Draw the attention of a checkpoint over TEXT, FILE or standard input, of at most 64 tokens.

    Of an encoder-decoder the picture shows which tokens of the text each token that it writes was read from.
    """
    from lmcli import engine as engines
    from lmcli.commands import _attention
    from lmcli.explanations import AttentionWish
    from lmcli.text.documents import read_texts

    want_input(ctx, [text] if text else [])
    form, wanted = _attention.form_of(output), AttentionWish(**wish)
    (document,) = read_texts([text] if text else [], engine.environment.stdin)
    said = document.readable.strip()
    checkpoint = _attention.checkpoint_for(engine, renderer, said, wanted)
    with renderer.status(f"reading with {checkpoint.name} …"):
        maps = engines.read_attention(checkpoint, said, wanted, engine.load_options, renderer.report)
    view = _attention.view_of(maps, layer, head)
    _attention.write(output, maps, form, view)
    renderer.record(_attention.record(maps, view, output), _attention.rows(maps, view), _attention.COLUMNS)
