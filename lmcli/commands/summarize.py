"""`lmcli summarize`: files or standard input in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmcli.commands._help import Command
from lmcli.commands._options import draft_option, engine_options, files_argument, output_options, sampling_options

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer
    from lmcli.tasks.summarize import Length
    from lmcli.text.inputs import Documents
    from lmcli.types import SamplingParams

EPILOG = """\b
Examples:
  lmcli summarize report.txt
  git log -30 | lmcli summarize --format bullets
  lmcli summarize --length short *.md
"""


@click.command(cls=Command, epilog=EPILOG)
@files_argument
@click.option("--length", type=click.Choice(["short", "medium", "long"]), default="medium", show_default=True,
              help="About 30, 80 or 200 words.")  # fmt: skip
@click.option("--words", type=click.IntRange(min=1), metavar="N", help="About N words; characters in Chinese.")
@click.option("--format", "form", type=click.Choice(["paragraph", "bullets"]), default="paragraph", show_default=True,
              help="How it is laid out.")  # fmt: skip
@engine_options
@draft_option
@sampling_options(temperature=0.0)
@output_options
def command(
    documents: Documents, length: Length, words: int | None, form: str,
    engine: EngineChoice, params: SamplingParams, renderer: Renderer,
) -> int:  # fmt: skip
    """Summarize each FILE, or standard input, in its own language.

    A text longer than the model's context is summarized in parts, then the parts' summaries together; nothing is
    cut off.
    """
    from lmcli.commands._show import language_of, show_each
    from lmcli.tasks.summarize import Summarize

    task = Summarize(length, words, form == "bullets", params)
    return show_each(task, engine.open(task.name, renderer, languages=language_of(documents)), documents, renderer)
