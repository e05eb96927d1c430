"""Summarize: a text of any length in a few words.

One that exceeds the context is divided: each part is summarized, then the parts' summaries together.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from lmcli import tasks
from lmcli.errors import InputTooLong, NoAnswer
from lmcli.protocols import Engine
from lmcli.tasks.side_by_side import side_by_side
from lmcli.tasks.summary_form import Layout, Length, Size, SummaryForm, size_of
from lmcli.tasks.summary_writers import Writer, writer_for
from lmcli.text.language import identify
from lmcli.text.loops import without_loops
from lmcli.text.segment import parts
from lmcli.types import Chunk, Done, Event, Notice, Progress, SamplingParams, Usage

_SMALLEST_PART = 32  # tokens; a shorter part says nothing on its own


@dataclass(frozen=True)
class Summarize:
    """A summary of a `length`, or of about a `size`, written by a model.

    `focus` is what it attends to. It is in `language` (a code), or else in that of the text.
    """

    length: Length = "medium"
    size: Size | None = None
    layout: Layout = "paragraph"
    focus: str | None = None
    language: str | None = None
    params: SamplingParams = field(default_factory=SamplingParams)
    name: ClassVar[str] = "summarize"
    answer: ClassVar[str] = "summary"

    def run_many(self, engine: Engine, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The events of each text, in order; several are worked at once."""
        return side_by_side(self.run, engine, texts)

    def run(self, engine: Engine, text: str) -> Iterator[Event]:
        """Raises InputTooLong where the context is too small for the text even in parts."""
        writer = writer_for(engine, self._form(text), self.params, self.name)
        spent = Usage()
        while (size := writer.size(text)) > writer.room:
            text, usage = yield from _condense(writer, text, size)
            spent += usage
        for event in tasks.after(spent, writer.write(text)):
            if isinstance(event, Done) and event.finish_reason == "length":
                yield Notice("the summary ended at its longest; --max-tokens allows more")
            yield event

    def _form(self, text: str) -> SummaryForm:
        source = identify(text)
        language = self.language or source
        size = self.size or size_of(self.length, self.layout, language)
        return SummaryForm(size, self.layout, source, language, self.focus)


def _condense(writer: Writer, text: str, size: int) -> Generator[Event, None, tuple[str, Usage]]:
    """The summaries of the parts of `text`, a paragraph each, and what they took."""
    if writer.room < _SMALLEST_PART:
        raise _too_small(writer)
    pieces = writer.divide(text)
    yield Notice(f"the text has {size} tokens, the context room for {writer.room}: {len(pieces)} parts", verbose=True)
    longest = writer.room // 4
    summaries, end = [], Done("stop")
    for event in writer.write_parts(pieces, longest):
        if isinstance(event, Done):
            end = event
        elif isinstance(event, Chunk):
            summaries.append(event.text.strip())
            yield Progress(len(summaries), len(pieces))
    if end.finish_reason == "length":
        yield Notice("a part's summary ended at its longest and may lack its end", verbose=True)
    summaries = yield from _steady(summaries)
    notes = "\n\n".join((yield from _filled(writer, pieces, summaries, longest)))
    # Each part's summary is asked to be a quarter of what fits. A model that repeats the text would go on for ever.
    if writer.size(notes) >= size:
        raise _too_small(writer)
    return notes, end.usage


def _steady(summaries: Sequence[str]) -> Generator[Event, None, list[str]]:
    """The summaries, what one repeats without end said once: it would drown the others."""
    steady = [without_loops(summary) for summary in summaries]
    looped = [n for n, (before, after) in enumerate(zip(summaries, steady, strict=True), 1) if before != after]
    if looped:
        which = f"part {looped[0]}" if len(looped) == 1 else f"{len(looped)} parts"
        yield Notice(f"the model repeated itself on {which} of {len(summaries)}; what it repeated counts once")
    return steady


def _filled(
    writer: Writer, pieces: Sequence[str], summaries: Sequence[str], longest: int
) -> Generator[Event, None, list[str]]:
    """The summaries; for an empty one the sentences its part begins with, up to `longest` tokens."""
    if not any(summaries):
        raise NoAnswer("the checkpoint wrote no summary of any part", "choose another: lmcli summarize -m REF")
    notes = []
    for n, (piece, summary) in enumerate(zip(pieces, summaries, strict=True), 1):
        if not summary:
            yield Notice(f"no summary of part {n} of {len(pieces)} came: its first sentences stand in for it")
        notes.append(summary or parts(piece, longest, writer.size)[0].strip())
    return notes


def _too_small(writer: Writer) -> InputTooLong:
    return InputTooLong(
        f"the text does not fit: the context has room for {max(writer.room, 0)} tokens of it, too few to work in parts",
        "choose a checkpoint with a longer context, or ask for a shorter summary",
    )
