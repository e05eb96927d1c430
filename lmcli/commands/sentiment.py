"""`lmcli sentiment`: positive, negative or neutral."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmcli.commands._help import Command
from lmcli.commands._labels import explain_option, fail_on_option
from lmcli.commands._options import engine_options, output_options, texts_argument

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer
    from lmcli.text.inputs import Documents

EPILOG = """\b
Examples:
  lmcli sentiment "What a lovely day"
  lmcli sentiment --explain review.txt
  lmcli sentiment --field review reviews.csv > judged.csv
  cut -f2 reviews.tsv | lmcli sentiment --lines --jsonl
"""


@click.command(cls=Command, epilog=EPILOG)
@texts_argument
@explain_option
@fail_on_option
@engine_options
@output_options
def command(
    documents: Documents, explain: bool, fail_on: tuple[str, ...], engine: EngineChoice, renderer: Renderer
) -> int:
    """Judge each TEXT, or FILE, or standard input: positive, negative or neutral, and how sure.

    An argument that names a file is read. Several texts give a line each: label, probability and the text.
    """
    from lmcli.commands._labels import label_each
    from lmcli.commands._show import language_of
    from lmcli.tasks.sentiment import SENTIMENTS, Sentiment
    from lmcli.types import Notice

    task = Sentiment(explain)
    languages = None
    if not engine.chosen(task.name):
        engine.environment.begin()
        languages = language_of(documents)
    opened = engine.open(task.name, renderer, languages)
    if not set(SENTIMENTS).intersection(known := task.known(opened)):
        renderer.report(Notice(f"{opened.checkpoint.name} tells no sentiments: it was trained on {', '.join(known)}"))
    return label_each(task, opened, documents, renderer, fail_on)
