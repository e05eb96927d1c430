"""Summarize: a text of any length in a few words.

One that exceeds the context is divided: each part is summarized, then the parts' summaries together.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Protocol

from lmcli import tasks
from lmcli.errors import CheckpointError, InputTooLong
from lmcli.tasks import prompts
from lmcli.tasks.side_by_side import side_by_side
from lmcli.text.language import identify
from lmcli.text.segment import parts
from lmcli.types import (
    CausalEngine,
    Chunk,
    Done,
    Engine,
    Event,
    FinishReason,
    Notice,
    Progress,
    Prompt,
    SamplingParams,
    Seq2SeqEngine,
    Usage,
)  # fmt: skip

Length = Literal["short", "medium", "long"]
WORDS = {"short": 30, "medium": 80, "long": 200}
CHARACTERS = {"short": 50, "medium": 150, "long": 350}  # where words are not told apart: Chinese, Japanese
_SMALLEST_PART = 32  # tokens; a shorter part says nothing on its own


@dataclass(frozen=True)
class Summarize:
    """A summary in the language of the text, of a `length` or of about `words` words (characters in Chinese)."""

    length: Length = "medium"
    words: int | None = None
    bullets: bool = False
    params: SamplingParams = field(default_factory=SamplingParams)
    name: ClassVar[str] = "summarize"
    answer: ClassVar[str] = "summary"

    def run_many(self, engine: Engine, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The events of each text, in order; several are worked at once."""
        return side_by_side(self.run, engine, texts)

    def run(self, engine: Engine, text: str) -> Iterator[Event]:
        """Raises InputTooLong where the context is too small for the text even in parts."""
        writer = self._writer(engine, text)
        spent = Usage()
        while (size := writer.size(text)) > writer.room:
            text, usage = yield from _condense(writer, text, size)
            spent += usage
        for event in tasks.after(spent, writer.write(text)):
            if isinstance(event, Done) and event.finish_reason == "length":
                yield Notice("the summary ended at its longest; --max-tokens allows more")
            yield event

    def _writer(self, engine: Engine, text: str) -> _Writer:
        code = identify(text)
        words = self.words or (CHARACTERS if code and code[:2] in {"zh", "ja"} else WORDS)[self.length]
        longest = self.params.max_tokens or min(3 * words + 32, engine.context_length // 4)
        params = replace(self.params, max_tokens=longest, think=False)  # thoughts would use the tokens up
        if tasks.is_causal(engine):
            return _CausalWriter(engine, params, prompts.SummaryForm(words, code, self.bullets))
        if tasks.is_seq2seq(engine):
            return _Seq2SeqWriter(engine, params)
        raise tasks.refusal(engine, self.name)


def _condense(writer: _Writer, text: str, size: int) -> Generator[Event, None, tuple[str, Usage]]:
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
    notes = "\n\n".join((yield from _filled(writer, pieces, summaries, longest)))
    # Each part's summary is asked to be a quarter of what fits. A model that repeats the text would go on for ever.
    if writer.size(notes) >= size:
        raise _too_small(writer)
    return notes, end.usage


def _filled(
    writer: _Writer, pieces: Sequence[str], summaries: Sequence[str], longest: int
) -> Generator[Event, None, list[str]]:
    """The summaries; for an empty one the sentences its part begins with, up to `longest` tokens."""
    if not any(summaries):
        raise CheckpointError("the checkpoint wrote no summary of any part", "choose another: lmcli summarize -m REF")
    notes = []
    for n, (piece, summary) in enumerate(zip(pieces, summaries, strict=True), 1):
        if not summary:
            yield Notice(f"no summary of part {n} of {len(pieces)} came: its first sentences stand in for it")
        notes.append(summary or parts(piece, longest, writer.size)[0].strip())
    return notes


class _Writer(Protocol):
    """Writes summaries of texts up to `room` tokens."""

    room: int

    def size(self, text: str) -> int:
        """Tokens of `text`."""

    def divide(self, text: str) -> list[str]:
        """The text in parts of at most `room` tokens."""

    def write(self, text: str) -> Iterator[Event]:
        """The summary, as a stream."""

    def write_parts(self, texts: Sequence[str], longest: int) -> Iterator[Event]:
        """One Chunk for each text, of at most `longest` tokens, then Done."""


class _CausalWriter:
    """Summaries by prompt. `room` is how many tokens of text fit beside the instruction and the answer."""

    def __init__(self, engine: CausalEngine, params: SamplingParams, form: prompts.SummaryForm) -> None:
        self._engine, self._params, self._form = engine, params, form
        self._instruction = engine.count(self._prompt("", form))
        # Sixteen tokens for what may merge or part where text and instruction meet, and for an empty thought.
        self.room = engine.context_length - self._instruction - (params.max_tokens or 0) - 16

    def size(self, text: str) -> int:
        return self._engine.count(self._prompt(text, self._form)) - self._instruction

    def divide(self, text: str) -> list[str]:
        # A template takes longer to fill in than a sentence to count: count without it, then check the parts.
        pieces = parts(text, self.room, self._engine.count)
        fit = all(self.size(piece) <= self.room for piece in pieces)
        return pieces if fit else parts(text, self.room, self.size)

    def write(self, text: str) -> Iterator[Event]:
        checkpoint = self._engine.checkpoint
        if not checkpoint.instruct:
            yield Notice(f"{checkpoint.name} is a base checkpoint: it continues 'Summary:'", verbose=True)
        yield from self._engine.stream(self._prompt(text, self._form), self._params)

    def write_parts(self, texts: Sequence[str], longest: int) -> Iterator[Event]:
        longest = min(longest, self._params.max_tokens or longest)
        form = replace(self._form, words=max(longest // 3, 10), bullets=False)
        reason: FinishReason = "stop"
        spent = Usage()
        params = replace(self._params, max_tokens=longest)
        for result in tasks.results(self._engine, [self._prompt(text, form) for text in texts], [params] * len(texts)):
            spent += result.usage
            reason = result.finish_reason if reason == "stop" else reason
            yield Chunk(result.text)
        yield Done(reason, spent)

    def _prompt(self, text: str, form: prompts.SummaryForm) -> Prompt:
        return prompts.summary(text, form, self._engine.checkpoint.instruct)


class _Seq2SeqWriter:
    """Summaries by a checkpoint that was trained to write them; only their length is asked for."""

    def __init__(self, engine: Seq2SeqEngine, params: SamplingParams) -> None:
        self._engine, self._params = engine, params
        self.room = engine.context_length

    def size(self, text: str) -> int:
        return self._engine.count(text)

    def divide(self, text: str) -> list[str]:
        return parts(text, self.room, self.size)

    def write(self, text: str) -> Iterator[Event]:
        return self._engine.rewrite([text], self._params)

    def write_parts(self, texts: Sequence[str], longest: int) -> Iterator[Event]:
        longest = min(longest, self._params.max_tokens or longest)
        return self._engine.rewrite(texts, replace(self._params, max_tokens=longest))


def _too_small(writer: _Writer) -> InputTooLong:
    return InputTooLong(
        f"the text does not fit: the context has room for {max(writer.room, 0)} tokens of it, too few to work in parts",
        "choose a checkpoint with a longer context, or ask for a shorter summary",
    )
