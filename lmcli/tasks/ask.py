"""Ask: an answer to a question out of the given documents, with the sentence that bears it out and its place.

A checkpoint that marks answers in a text reads all of it. A language model reads all that fits its context, else the
passages that speak of what the question asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from lmcli import tasks
from lmcli.errors import UsageError
from lmcli.protocols import CausalEngine, Engine, Found, QAEngine
from lmcli.tasks.ask_prompt import declines
from lmcli.tasks.reader import PASSAGE_TOKENS, Reader
from lmcli.tasks.side_by_side import side_by_side
from lmcli.text import passages
from lmcli.text.documents import Document
from lmcli.text.passages import Chosen, Passage
from lmcli.types import Chunk, Done, Event, Notice, SamplingParams, Sources, Span


@dataclass(frozen=True)
class Ask:
    """An answer to `question`.

    `passages` is the most that are read, None as many as are good where the text does not fit the context. Of a
    checkpoint that marks answers, the `top` likeliest are given, and none less probable than `threshold`.
    """

    question: str
    params: SamplingParams = field(default_factory=SamplingParams)
    passages: int | None = None
    top: int = 1
    threshold: float | None = None
    name: ClassVar[str] = "ask"
    answer: ClassVar[str] = "answer"

    def run(self, engine: Engine, text: str) -> Iterator[Event]:
        """The events of one text; see `over`."""
        return self.over(engine, [Document(None, text)])

    def run_many(self, engine: Engine, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The same question of each text by itself; several are worked at once."""
        return side_by_side(self.run, engine, texts)

    def over(self, engine: Engine, documents: Sequence[Document]) -> Iterator[Event]:
        """The answer out of all documents together, its Sources, then Done.

        Raises InputTooLong where the context has no room for a passage, UsageError for a wish that is another kind's.
        """
        if tasks.is_qa(engine):
            if self.params.grammar:
                raise UsageError(
                    f"{engine.checkpoint.name} marks answers in the text: it cannot follow a schema",
                    "leave --schema out, or name a language model: lmcli ask -m REF",
                )
            return self._mark(engine, documents)
        if tasks.is_causal(engine):
            return self._write(engine, documents)
        raise tasks.refusal(engine, self.name)

    def _mark(self, engine: QAEngine, documents: Sequence[Document]) -> Iterator[Event]:
        chosen = None
        if self.passages is not None:
            chosen = passages.choose(
                passages.cut(documents, PASSAGE_TOKENS, engine.count), self.question, self.passages
            )
        read = passages.whole(documents) if chosen is None else [one.passage for one in chosen]
        found, nothing = engine.answer(self.question, [passage.text for passage in read], self.top)
        likely = [one for one in found if one.score >= max(self.threshold or 0.0, nothing * (one is found[0]))]
        answers = [_span(read[one.text], one) for one in likely] if likely[:1] == found[:1] else []
        if answers:
            yield Chunk(answers[0].text)
        else:
            yield Notice("the text does not hold an answer")
        quote = passages.around(read[found[0].text].document, answers[0]) if answers else None
        yield Sources(self.question, quote, _places(chosen), tuple(answers), nothing)
        yield Done("stop")

    def _write(self, engine: CausalEngine, documents: Sequence[Document]) -> Iterator[Event]:
        if self.top > 1 or self.threshold is not None:
            raise UsageError(
                f"{engine.checkpoint.name} writes one answer: --top and --threshold go with checkpoints that mark "
                "answers in the text",
                "leave them out, or name such a checkpoint: lmcli ask -m REF",
            )
        reader = Reader(engine, self.question, replace(self.params, think=False))
        chosen = reader.choose(documents, self.passages)
        if chosen is not None:
            yield from _told(chosen, documents)
        read = passages.whole(documents) if chosen is None else [one.passage for one in chosen]
        said = ""
        for event in reader.answer(read, self.params.max_tokens):
            said += event.text if isinstance(event, Chunk) else ""
            if isinstance(event, Done):
                quote = None if declines(said) else passages.supporting(read, self.question, said)
                yield Sources(self.question, quote, _places(chosen))
            yield event


def _told(chosen: Sequence[Chosen], documents: Sequence[Document]) -> Iterator[Event]:
    total = sum(len(document.text) for document in documents)
    share = sum(one.passage.end - one.passage.start for one in chosen) / total
    yield Notice(f"{len(chosen)} passages, {share:.0%} of the text, are read for the answer", verbose=True)
    if not any(one.score for one in chosen):
        yield Notice("no passage has a word of the question: the first ones are read")


def _span(passage: Passage, found: Found) -> Span:
    return passages.span(passage.document, passage.start + found.start, passage.start + found.end, found.score)


def _places(chosen: Sequence[Chosen] | None) -> tuple[Span, ...]:
    return tuple(
        passages.span(one.passage.document, one.passage.start, one.passage.end, one.score) for one in chosen or ()
    )
