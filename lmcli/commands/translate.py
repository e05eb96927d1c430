"""`lmcli translate`: files or standard input in another language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lmcli.commands._help import Command
from lmcli.commands._options import draft_option, engine_options, files_argument, output_options, sampling_options
from lmcli.commands._translating import glossary, language_code, or_else

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer
    from lmcli.text.inputs import Documents

EPILOG = """\b
Examples:
  lmcli translate --to zh notes.txt
  echo "Guten Morgen" | lmcli translate --to en
  lmcli translate --from zh --to English 说明.txt > readme.txt
  tail -f app.log | lmcli translate --to en
  lmcli translate --to de --glossary terms.tsv film.srt > film.de.srt
"""


@engine_options
@sampling_options(temperature=0.0)
@output_options
def _live(parts: Iterator[str], engine: EngineChoice, renderer: Renderer, **wish: Any) -> None:
    """Lines as they come, each translated before the next is waited for."""
    from lmcli.commands._translating import open_translator, translation

    task = translation(**wish)
    events = task.run_live(lambda source: open_translator(engine, renderer, source, task.task.target), parts)
    renderer.show(events, task=task.name, checkpoint="")
    task.check(wish["strict"])


@engine_options
@output_options
def _list(engine: EngineChoice, renderer: Renderer, **wish: Any) -> None:
    """The languages of the checkpoint that would translate."""
    from lmcli.commands._translating import show_languages

    show_languages(engine.open("translate", renderer), renderer)


@click.command(cls=Command, epilog=EPILOG)
@or_else(_live, _list)
@files_argument
@click.option("--to", "target", metavar="LANGUAGE", callback=language_code,
              help="Target language: a code or a name, such as zh, German or 日本語.")  # fmt: skip
@click.option("--from", "source", default="auto", show_default=True, metavar="LANGUAGE", callback=language_code,
              help="Language of the text.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "markdown", "html", "srt", "vtt", "po"]),
              help="How the text is laid out; found out from its name and its beginning.")  # fmt: skip
@click.option("--glossary", "terms", metavar="FILE", type=click.Path(), callback=glossary,
              help="Terms and their translations, a tab between the two, a line each.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Translate again what a .po catalogue has translated.")
@click.option("--strict", is_flag=True, help="Exit with 1 where a sentence could not be translated.")
@click.option("--languages", is_flag=True, help="List the languages the checkpoint translates into.")
@engine_options
@draft_option
@sampling_options(temperature=0.0)
@output_options
def command(documents: Documents, engine: EngineChoice, renderer: Renderer, **wish: Any) -> int:
    """Translate each FILE, or standard input, line by line; blank lines and line endings stay as they are.

    So do code, links, placeholders, tags, tables, and what makes a subtitle, a web page or a .po catalogue one. From a
    pipe that goes on, lines are translated as they come.
    """
    from lmcli.commands._show import show_each
    from lmcli.commands._translating import open_translator, translation
    from lmcli.tasks.translate import needs_model, source_of

    task = translation(**wish, names=documents.files)
    if not wish["source"]:
        engine.environment.begin()  # Meanwhile the language is found out.
    spoken = [source_of(document.text, wish["source"])[0] for document in documents.first()]
    first = next((language for language in spoken if needs_model(language, task.task.target)), None)
    opened = open_translator(engine, renderer, first, task.task.target) if first else None
    code = show_each(task, opened, documents, renderer, markup=True)
    task.check(wish["strict"])
    return code
