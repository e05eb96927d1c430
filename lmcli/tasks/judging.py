"""Judging: labels with their probabilities for texts of any length, by whatever judges a text that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lmcli.errors import InputError
from lmcli.protocols import ClassifierEngine
from lmcli.text.segment import parts
from lmcli.types import Done, Event, Label, Notice, Usage

_FIRST, _MOST = 16, 512  # parts at once: first a few, to be shown soon, then as many as fill an encoder's batches


@dataclass(frozen=True)
class Judged:
    """The probabilities of one part of a text, its own tokens, and those of its whole prompt."""

    scores: Mapping[str, float]
    tokens: int
    prompt_tokens: int


class Judge(Protocol):
    """Gives texts of up to `room` tokens their probabilities."""

    room: int

    def size(self, text: str) -> int:
        """Tokens of `text`."""

    def judge(self, texts: Sequence[str]) -> Iterator[Judged]:
        """The probabilities of each text, each as soon as it is known."""


Finish = Callable[[str, Label], Label]  # what is to be made of a text's label before it is shown


def judge_many(judge: Judge, texts: Iterable[str], finish: Finish | None = None) -> Iterator[Iterator[Event]]:
    """The events of each text, in order, worked in batches; a text longer than the room is judged in parts, which are
    averaged by their tokens."""
    for batch in _batches((text, pieces(judge, text)) for text in texts):
        yield from _judge_batch(judge, batch, finish or (lambda text, label: label))


def pieces(judge: Judge, text: str) -> list[str]:
    """The parts of `text`, each within the judge's room."""
    if 4 * len(text) + 8 <= judge.room:  # Even byte by byte: most lines need not be counted.
        return [text]
    try:
        return parts(text, judge.room, judge.size)
    except InputError:
        return [text]  # The engine says so, of this text alone.


class ClassifierJudge:
    """A classifier's own probabilities, under the names that `rename` gives its labels."""

    def __init__(
        self, engine: ClassifierEngine, rename: Callable[[Mapping[str, float]], Mapping[str, float]] = dict
    ) -> None:
        self._engine, self._rename = engine, rename
        self.room, self.size = engine.context_length, engine.count

    def judge(self, texts: Sequence[str]) -> Iterator[Judged]:
        results = self._engine.classify(texts)
        for own, text in zip(results, texts, strict=True):
            tokens = self.size(text)
            yield Judged(self._rename(own), max(tokens, 1), tokens)


_Batch = Sequence[tuple[str, list[str]]]  # texts, each with its parts


def _judge_batch(judge: Judge, batch: _Batch, finish: Finish) -> Iterator[Iterator[Event]]:
    """The events of each text; those of one that is refused raise the error."""
    judged = judge.judge([piece for _, whole in batch for piece in whole])
    for n, (text, whole) in enumerate(batch):
        try:
            found = [next(judged) for _ in whole]
        except InputError:
            yield from (_judge_alone(judge, alone, own, finish) for alone, own in batch[n:])
            return
        yield _events(text, found, finish)


def _judge_alone(judge: Judge, text: str, whole: Sequence[str], finish: Finish) -> Iterator[Event]:
    yield from _events(text, list(judge.judge(whole)), finish)


def _batches(texts: Iterable[tuple[str, list[str]]]) -> Iterator[_Batch]:
    """Texts in batches that double in size, by their parts."""
    batch: list[tuple[str, list[str]]] = []
    held, size = 0, _FIRST
    for text, whole in texts:
        batch.append((text, whole))
        held += len(whole)
        if held >= size:
            yield batch
            batch, held, size = [], 0, min(2 * size, _MOST)
    if batch:
        yield batch


def _events(text: str, judged: Sequence[Judged], finish: Finish) -> Iterator[Event]:
    if len(judged) > 1:
        yield Notice(
            f"the text is longer than the context: {len(judged)} parts, averaged by their length", verbose=True
        )
    total = sum(part.tokens for part in judged)
    names = dict.fromkeys(name for part in judged for name in part.scores)
    means = {name: sum(part.scores.get(name, 0.0) * part.tokens for part in judged) / total for name in names}
    scores = dict(sorted(means.items(), key=lambda item: -item[1]))
    yield finish(text, Label(next(iter(scores)), scores))
    yield Done("stop", Usage(prompt_tokens=sum(part.prompt_tokens for part in judged)))
