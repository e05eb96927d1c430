"""`lmcli translate`: files or standard input in another language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lmcli.commands._help import Command
from lmcli.commands._options import draft_option, engine_options, files_argument, output_options, sampling_options

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer
    from lmcli.text.inputs import Documents
    from lmcli.types import SamplingParams

EPILOG = """\b
Examples:
  lmcli translate --to zh notes.txt
  echo "Guten Morgen" | lmcli translate --to en
  lmcli translate --from zh --to English 说明.txt > readme.txt
"""


def _code(ctx: click.Context, option: click.Parameter, value: Any) -> str | None:
    from lmcli.text.language import parse

    return None if value == "auto" else parse(value)


@click.command(cls=Command, epilog=EPILOG)
@files_argument
@click.option("--to", "target", required=True, metavar="LANGUAGE", callback=_code,
              help="Target language: a code or a name, such as zh, German or 日本語.")  # fmt: skip
@click.option("--from", "source", default="auto", show_default=True, metavar="LANGUAGE", callback=_code,
              help="Language of the text.")  # fmt: skip
@engine_options
@draft_option
@sampling_options(temperature=0.0)
@output_options
def command(
    documents: Documents, target: str, source: str | None,
    engine: EngineChoice, params: SamplingParams, renderer: Renderer,
) -> int:  # fmt: skip
    """Translate each FILE, or standard input, line by line; blank lines and line endings stay as they are."""
    from lmcli.commands._show import show_each
    from lmcli.tasks.translate import Translate, source_of

    task = Translate(target, source, params)
    spoken = [source_of(document.text, source)[0] for document in documents.first()]
    first = next((language for language in spoken if language != target), None)
    # A text in the target language passes through, and where all do no checkpoint is needed.
    opened = engine.open(task.name, renderer, (first.partition("-")[0], target)) if first else None
    return show_each(task, opened, documents, renderer)
