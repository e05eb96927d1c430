"""Extract: the sentences that say most of a text, unchanged and in its order; no checkpoint is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from lmcli.tasks.summary_form import Layout, Length, Size, counts_characters, lay_out, size_of
from lmcli.text import ranking
from lmcli.text.language import identify
from lmcli.text.prose import prose
from lmcli.types import Chunk, Done, Event, Notice


@dataclass(frozen=True)
class Extract:
    """A summary of a text in its own sentences, of a `length` or about a `size`; with `focus` those about it."""

    length: Length = "medium"
    size: Size | None = None
    layout: Layout = "paragraph"
    focus: str | None = None
    name: ClassVar[str] = "summarize"
    answer: ClassVar[str] = "summary"

    def run(self, engine: None, text: str) -> Iterator[Event]:
        """One Chunk, then Done."""
        code = identify(text)
        size = self.size or size_of(self.length, self.layout, code)
        found = prose(text)
        if self.focus and not ranking.mentions(found, self.focus):
            yield Notice(f"the text does not mention '{self.focus}': its sentences are chosen without it")
        if self.layout == "headline":
            chosen = ranking.select(found, [1] * len(found), 1, self.focus)
        else:
            chosen = ranking.select(found, [_measure(s, size, code) for s in found], size.amount, self.focus)
        yield Notice(f"{len(chosen)} of {len(found):,} sentences", verbose=True)
        yield Chunk(lay_out([found[index] for index in chosen], self.layout, code))
        yield Done("stop")

    def run_many(self, engine: None, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The events of each text in turn."""
        return (self.run(engine, text) for text in texts)


def _measure(sentence: str, size: Size, code: str | None) -> int:
    """How much of a `size` the sentence takes."""
    if size.unit == "sentences":
        return 1
    by_character = size.unit == "characters" or counts_characters(code)
    return len(sentence) if by_character else len(sentence.split())
