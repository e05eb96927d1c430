"""`lmcli sentiment`: positive, negative or neutral."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmcli.commands._help import Command
from lmcli.commands._options import engine_options, output_options, texts_argument

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer
    from lmcli.text.documents import Document

EPILOG = """\b
Examples:
  lmcli sentiment "What a lovely day"
  lmcli sentiment review.txt letter.txt
  cut -f2 reviews.tsv | lmcli sentiment --lines --jsonl
"""


@click.command(cls=Command, epilog=EPILOG)
@texts_argument
@engine_options
@output_options
def command(documents: list[Document], engine: EngineChoice, renderer: Renderer) -> None:
    """Judge each TEXT, or FILE, or standard input: positive, negative or neutral, and how sure.

    An argument that names a file is read. Several texts give a line each: label, probability and the text.
    """
    from lmcli.commands._show import language_of
    from lmcli.tasks.sentiment import Sentiment

    task = Sentiment()
    opened = engine.open(task.name, renderer, languages=language_of(documents))
    name = opened.checkpoint.name
    results = task.run_many(opened, [document.text for document in documents])
    for document, events in zip(documents, results, strict=True):
        text = document.text if document.inline and len(documents) > 1 else None
        renderer.show(events, task=task.name, checkpoint=name, file=document.name, input=text)
