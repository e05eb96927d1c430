"""`lmcli summarize`: files or standard input in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lmcli.commands._help import Command
from lmcli.commands._options import draft_option, engine_options, files_argument, output_options, sampling_options

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer
    from lmcli.tasks.summary_form import Layout, Length, Size
    from lmcli.text.inputs import Documents
    from lmcli.types import SamplingParams

EPILOG = """\b
Examples:
  lmcli summarize report.txt
  git log -30 | lmcli summarize --form bullets
  lmcli summarize --sentences 1 *.md
  lmcli summarize --focus "what it costs" --lang en 报告.txt
  lmcli summarize --method extractive book.txt
"""


def _code(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    from lmcli.text.language import parse

    return parse(value) if value else None


@click.command(cls=Command, epilog=EPILOG)
@files_argument
@click.option("--length", type=click.Choice(["short", "medium", "long"]), default="medium", show_default=True,
              help="About 30, 80 or 200 words.")  # fmt: skip
@click.option("--words", type=click.IntRange(min=1), metavar="N", help="About N words; characters in Chinese.")
@click.option("--sentences", type=click.IntRange(min=1), metavar="N", help="At most N sentences, or bullets.")
@click.option("--chars", "characters", type=click.IntRange(min=1), metavar="N", help="About N characters.")
@click.option("--form", "layout", type=click.Choice(["paragraph", "bullets", "headline"]), default="paragraph",
              show_default=True, help="How it is laid out.")  # fmt: skip
@click.option("--focus", metavar="TEXT", help="What to attend to.")
@click.option("--lang", "language", metavar="LANGUAGE", callback=_code, help="Language of the summary; the text's own.")
@click.option("--method", type=click.Choice(["auto", "model", "extractive"]), default="auto", show_default=True,
              help="Written by a model, or sentences chosen from the text; auto: by what is here.")  # fmt: skip
@engine_options
@draft_option
@sampling_options(temperature=0.0)
@output_options
def command(
    documents: Documents, length: Length, layout: Layout, focus: str | None, language: str | None, method: str,
    engine: EngineChoice, params: SamplingParams, renderer: Renderer, **sizes: int | None,
) -> int:  # fmt: skip
    """Summarize each FILE, or standard input, in its own language.

    A text longer than the model's context is summarized in parts, then the parts' summaries together; nothing is
    cut off. Where no model is on this machine, the sentences that say most of the text stand for a summary.
    """
    from lmcli.commands._show import language_of, show_each

    size = _size(sizes)
    spoken = language_of(documents)
    if language:
        spoken = (spoken[0] if spoken else language, language)
    if _extractive(method, language, spoken, engine, renderer):
        from lmcli.tasks.extract import Extract  # the door to numpy

        return show_each(Extract(length, size, layout, focus), None, documents, renderer)
    from lmcli.tasks.summarize import Summarize

    task = Summarize(length, size, layout, focus, language, params)
    # A checkpoint trained for summaries alone can be told neither: unless the user chose one, a chat model is taken.
    told = (focus or language) and not engine.chosen(task.name)
    opened = engine.open("chat" if told else task.name, renderer, languages=spoken)
    return show_each(task, opened, documents, renderer)


def _size(given: dict[str, Any]) -> Size | None:
    """The one length in numbers; raises UsageError for two."""
    from lmcli.errors import UsageError
    from lmcli.tasks.summary_form import Size

    wanted = [Size(amount, unit) for unit, amount in given.items() if amount]  # type: ignore[arg-type]
    if len(wanted) > 1:
        raise UsageError("--words, --sentences and --chars exclude one another", "give the one that matters")
    return wanted[0] if wanted else None


def _extractive(
    method: str, language: str | None, spoken: tuple[str, str] | None, engine: EngineChoice, renderer: Renderer
) -> bool:
    """Whether sentences are chosen rather than written. Raises UsageError where they had to be translated."""
    from lmcli.checkpoints import catalog
    from lmcli.errors import UsageError
    from lmcli.types import Notice

    if method == "extractive" and language and spoken and spoken[0] != language:
        raise UsageError("--method extractive takes sentences as they are; --lang cannot change their language",
                         "leave one of the two out")  # fmt: skip
    if method != "auto" or language or engine.at_hand("summarize", spoken):
        return method == "extractive"
    renderer.report(Notice(
        "no model is on this machine: these are the text's own sentences; "
        f"lmcli pull {catalog.DEFAULT} fetches a model that writes"
    ))  # fmt: skip
    return True
