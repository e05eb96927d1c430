"""What `lmcli translate` does beside translating a document: routes, live input, glossaries, lists of languages."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ClassVar

import click

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.protocols import Engine
    from lmcli.render import Renderer
    from lmcli.tasks.translate import Translate
    from lmcli.text.glossary import Glossary
    from lmcli.types import Event, SamplingParams

_BY = "en"  # what most checkpoints translate from or into


def language_code(ctx: click.Context, option: click.Parameter, value: Any) -> str | None:
    """The code of a language by any of its names; None for auto."""
    from lmcli.text.language import parse

    return None if value in (None, "auto") else parse(value)


def glossary(ctx: click.Context, option: click.Parameter, name: str | None) -> Glossary:
    """The glossary in a file; an empty one where none is named."""
    from lmcli.text.documents import read_file
    from lmcli.text.glossary import Glossary, read_glossary

    return read_glossary(read_file(name).text, name) if name else Glossary()


def open_translator(engine: EngineChoice, renderer: Renderer, source: str, target: str) -> Engine:
    """The engine for these languages: one checkpoint, or two through English where both and no other are here."""
    from lmcli.checkpoints import starters
    from lmcli.tasks.pivot import Pivot
    from lmcli.text.chinese import is_script
    from lmcli.types import Notice

    if is_script(source, target):
        renderer.report(Notice("with pip install 'lmcli[chinese]' the characters are converted, without a checkpoint"))
    spoken, wanted = source.partition("-")[0], target.partition("-")[0]
    pairs = list(dict.fromkeys([(spoken, target), (spoken, wanted)]))
    direct = next((pair for pair in pairs if engine.here("translate", pair)), None)
    into = engine.here("translate", (spoken, _BY))
    out_of = engine.here("translate", (_BY, target)) or engine.here("translate", (_BY, wanted))
    if engine.chosen("translate") or direct or not into or not out_of or _BY in (spoken, wanted):
        # The starter writes simplified characters, which are converted afterwards.
        standing_in = (pair for pair in pairs if starters.lookup(engine.default("translate", pair)))
        return engine.open("translate", renderer, direct or next(standing_in, pairs[0]))
    renderer.report(Notice(f"translating through English: {into}, then {out_of}"))
    first, second = (
        replace(engine, flags={**engine.flags, "model": name}).open("translate", renderer) for name in (into, out_of)
    )
    return Pivot(first, second, _BY)  # type: ignore[arg-type]


def translation(
    target: str, source: str | None, form: str | None, terms: Glossary, overwrite: bool, params: SamplingParams,
    names: Sequence[str | None] = (), **others: Any,
) -> Counting:  # fmt: skip
    """The task that the options describe, for files of these names; where they are of one kind it is told."""
    from lmcli.tasks.translate import Translate
    from lmcli.text import catalogue
    from lmcli.text.formats import FORMATS, Format, format_of

    told = {format_of(name) for name in names} if not form else {FORMATS[form]}
    found = told.pop() if len(told) == 1 else None
    if overwrite:
        found = Format("po", partial(catalogue.blocks, overwrite=True))
    return Counting(Translate(target, source, params, found, terms))


def show_languages(opened: Engine, renderer: Renderer) -> None:
    """The languages the checkpoint says it can translate into."""
    from lmcli import tasks
    from lmcli.text.language import language
    from lmcli.types import Notice

    codes = opened.languages() if tasks.is_seq2seq(opened) else ()
    if not codes:
        renderer.report(Notice(f"{opened.checkpoint.name} does not say which languages it knows"))
    rows = [language(code) for code in codes]
    known = [{"code": each.code, "name": each.name, "own_name": each.own_name} for each in rows]
    renderer.table(known, {"code": "CODE", "name": "NAME", "own_name": "OWN NAME"})


@dataclass
class Counting:
    """A Translate that counts what it left untranslated."""

    task: Translate
    count: int = 0
    name: ClassVar[str] = "translate"
    answer: ClassVar[str] = "translation"

    def run(self, engine: Engine | None, text: str) -> Iterator[Event]:
        yield from self._counted(self.task.run(engine, text))

    def run_many(self, engine: Engine | None, texts: Any) -> Iterator[Iterator[Event]]:
        return map(self._counted, self.task.run_many(engine, texts))

    def run_live(self, open_engine: Callable[[str], Engine], parts: Iterator[str]) -> Iterator[Event]:
        yield from self._counted(self.task.run_live(open_engine, parts))

    def _counted(self, events: Iterator[Event]) -> Iterator[Event]:
        from lmcli.tasks.translate import Untranslated

        for event in events:
            self.count += isinstance(event, Untranslated)
            yield event

    def check(self, strict: bool) -> None:
        """Raises LmcliError where not all was translated and that is wanted."""
        from lmcli.errors import LmcliError

        if strict and self.count:
            few = "1 sentence is" if self.count == 1 else f"{self.count} sentences are"
            raise LmcliError(f"{few} not translated", "another checkpoint may do better: lmcli translate -m REF")


def or_else(live: Callable[..., Any], listing: Callable[..., Any]) -> Callable[[Any], Any]:
    """The command, or `listing` where languages are asked for, or `live` where lines are to be worked on as they come.

    Both take the options as the command line has them, `live` also `parts`, the lines that come.
    """

    def decorate(command: Any) -> Any:
        @click.pass_context
        @wraps(command)
        def wrapped(ctx: click.Context, /, languages: bool, **values: Any) -> Any:
            own = {key: value for key, value in values.items() if key not in _INPUTS}
            if languages:
                return ctx.invoke(listing, **own)
            if values["target"] is None:
                raise click.MissingParameter(ctx=ctx, param_hint="'--to'", param_type="option")
            parts = _live_parts(ctx, values)
            return ctx.invoke(live, parts=parts, **own) if parts else ctx.invoke(command, **values)

        return wrapped

    return decorate


_INPUTS = {"files", "names", "field", "into", "resume", "lines"}  # options about what is read


def _live_parts(ctx: click.Context, values: dict[str, Any]) -> Iterator[str] | None:
    """The lines of a standard input whose end is not there yet; None where it is read as a document.

    What was read to find that out is put back.
    """
    from lmcli.text.formats import format_in
    from lmcli.text.live import beginning, groups, is_live

    stdin = ctx.obj.stdin
    named = [name for key in ("files", "names") for name in values.get(key) or ()]
    otherwise = any(values.get(key) for key in ("json_", "jsonl", "overwrite", *(_INPUTS - {"files", "names"})))
    if named not in ([], ["-"]) or otherwise or values["form"] not in (None, "text") or not is_live(stdin):
        return None
    if stdin.isatty() and not named:
        return None
    encoding = values["encoding"]
    if (encoding or "").startswith(("utf-16", "utf-32")):  # Their line ends are no single bytes.
        return None
    begun = beginning(stdin)
    if not begun.ended and format_in(begun.data.decode(errors="replace")).name == "text":
        return groups(stdin, begun, encoding)
    rest = b"" if begun.ended else stdin.read()
    ctx.obj = replace(ctx.obj, stdin=io.BytesIO(begun.data + rest))
    return None
