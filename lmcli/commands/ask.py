"""`lmcli ask`: the answer to a question out of files or standard input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmcli.commands._help import Command
from lmcli.commands._options import (
    caching_engine_options,
    draft_option,
    files_argument,
    output_options,
    question_argument,
    quote_option,
    sampling_options,
    schema_option,
)

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer
    from lmcli.text.inputs import Documents
    from lmcli.types import SamplingParams

EPILOG = """\b
Examples:
  lmcli ask "When does the contract end?" contract.txt
  lmcli ask --quote "Who was at the meeting?" minutes/*.txt
  man tar | lmcli ask "Which option lists an archive?"
"""


@click.command(cls=Command, epilog=EPILOG)
@question_argument
@files_argument
@click.option(
    "--passages",
    type=click.IntRange(min=1),
    metavar="N",
    help="Read the N passages that fit the question best.  [default: 8 of a text that exceeds the context]",
)
@click.option(
    "--top",
    type=click.IntRange(1, 100),
    metavar="N",
    default=1,
    show_default=True,
    help="Give the N likeliest answers, where the checkpoint marks them in the text.",
)
@click.option("--threshold", type=click.FloatRange(0, 1), metavar="P", help="Give no such answer less probable than P.")
@quote_option
@caching_engine_options
@draft_option
@schema_option
@sampling_options(temperature=0.0)
@output_options
def command(
    question: str, documents: Documents, passages: int | None, top: int, threshold: float | None,
    engine: EngineChoice, params: SamplingParams, renderer: Renderer,
) -> int:  # fmt: skip
    """Answer QUESTION out of the FILEs, or standard input, all together; of records each by itself.

    A text longer than the model's context is read in the passages that fit the question best. Below the answer stands
    the sentence that bears it out; in a pipe with --quote.
    """
    from dataclasses import replace

    from lmcli import tasks
    from lmcli.commands._show import show_each
    from lmcli.tasks.ask import Ask

    task = Ask(question, params, passages, top, threshold)
    opened = engine.open(task.name, renderer)
    if documents.many:
        return show_each(task, opened, documents, renderer)
    pages = [replace(document, text=document.readable, kind="text") for document in documents]
    only = pages[0].name if len(pages) == 1 else None
    result = renderer.show(task.over(opened, pages), task=task.name, checkpoint=opened.checkpoint.name, file=only)
    tasks.check_whole(opened, result, params)
    return 0
