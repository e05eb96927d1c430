"""Sentiment: is a text positive, negative or neutral, by a classifier or by the likelihoods of a language model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

from lmcli import tasks
from lmcli.errors import InputError, InputTooLong
from lmcli.tasks import prompts
from lmcli.text.segment import parts
from lmcli.types import CausalEngine, ClassifierEngine, Done, Engine, Event, Label, Notice, Usage

_FIRST, _MOST = 16, 512  # parts at once: first a few, to be shown soon, then as many as fill an encoder's batches
_NAMES = {
    "positive": {"positive", "pos", "very positive", "正面", "积极", "正向", "好评", "positif", "positiv", "positivo"},
    "negative": {"negative", "neg", "very negative", "负面", "消极", "负向", "差评", "négatif", "negativ", "negativo"},
    "neutral": {"neutral", "neu", "中性", "中立", "neutre"},
}
_STARS = {1: "negative", 2: "negative", 3: "neutral", 4: "positive", 5: "positive"}
_NUMBERED = {2: ("negative", "positive"), 3: ("negative", "neutral", "positive")}


@dataclass(frozen=True)
class Sentiment:
    """One Label for each text; a text longer than the context is judged in parts, averaged by their tokens."""

    name: ClassVar[str] = "sentiment"
    answer: ClassVar[str] = "label"

    def run(self, engine: Engine, text: str) -> Iterator[Event]:
        return next(self.run_many(engine, [text]))

    def run_many(self, engine: Engine, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The events of each text, in order, worked in batches."""
        judge = _judge(engine)
        for batch in _batches(_pieces(judge, text) for text in texts):
            yield from _judge_batch(judge, batch)


@dataclass(frozen=True)
class _Judged:
    """The probabilities of one part of a text, its own tokens, and those of its whole prompt."""

    scores: Mapping[str, float]
    tokens: int
    prompt_tokens: int


def _pieces(judge: _Judge, text: str) -> list[str]:
    if 4 * len(text) + 8 <= judge.room:  # Even byte by byte: most lines need not be counted.
        return [text]
    try:
        return parts(text, judge.room, judge.size)
    except InputError:
        return [text]  # The engine says so, of this text alone.


def _judge_batch(judge: _Judge, batch: Sequence[list[str]]) -> Iterator[Iterator[Event]]:
    """The events of each text, given in its parts; those of one that is refused raise the error."""
    judged = judge.judge([piece for pieces in batch for piece in pieces])
    for n, pieces in enumerate(batch):
        try:
            found = [next(judged) for _ in pieces]
        except InputError:
            yield from (_judge_alone(judge, alone) for alone in batch[n:])
            return
        yield _events(found)


def _judge_alone(judge: _Judge, pieces: Sequence[str]) -> Iterator[Event]:
    yield from _events(list(judge.judge(pieces)))


def _batches(texts: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    """Texts, each in its parts, in batches that double in size."""
    batch: list[list[str]] = []
    held, size = 0, _FIRST
    for pieces in texts:
        batch.append(pieces)
        held += len(pieces)
        if held >= size:
            yield batch
            batch, held, size = [], 0, min(2 * size, _MOST)
    if batch:
        yield batch


def _events(judged: Sequence[_Judged]) -> Iterator[Event]:
    if len(judged) > 1:
        yield Notice(
            f"the text is longer than the context: {len(judged)} parts, averaged by their length", verbose=True
        )
    total = sum(part.tokens for part in judged)
    names = dict.fromkeys(name for part in judged for name in part.scores)
    means = {name: sum(part.scores.get(name, 0.0) * part.tokens for part in judged) / total for name in names}
    scores = dict(sorted(means.items(), key=lambda item: -item[1]))
    yield Label(next(iter(scores)), scores)
    yield Done("stop", Usage(prompt_tokens=sum(part.prompt_tokens for part in judged)))


class _Judge(Protocol):
    """Gives texts of up to `room` tokens their probabilities."""

    room: int

    def size(self, text: str) -> int:
        """Tokens of `text`."""

    def judge(self, texts: Sequence[str]) -> Iterator[_Judged]:
        """The probabilities of each text, under lmcli's names of the labels, each as soon as it is known."""


def _judge(engine: Engine) -> _Judge:
    if tasks.is_classifier(engine):
        return _ClassifierJudge(engine)
    if tasks.is_causal(engine):
        return _CausalJudge(engine)
    raise tasks.refusal(engine, Sentiment.name)


class _ClassifierJudge:
    """A classifier's own probabilities."""

    def __init__(self, engine: ClassifierEngine) -> None:
        self._engine = engine
        self.room, self.size = engine.context_length, engine.count

    def judge(self, texts: Sequence[str]) -> Iterator[_Judged]:
        results = self._engine.classify(texts)
        tokens = [self.size(text) for text in texts]
        yield from (_Judged(known_labels(own), max(n, 1), n) for own, n in zip(results, tokens, strict=True))


class _CausalJudge:
    """A language model's likelihoods of the labels' names after a fixed prompt; nothing it writes is parsed."""

    def __init__(self, engine: CausalEngine) -> None:
        self._engine = engine
        self._instruction = engine.count(prompts.sentiment(""))
        self.room = engine.context_length - self._instruction - 16  # for the label, and what merges at the seams
        if self.room < 1:
            raise InputTooLong(
                f"the context of {engine.checkpoint.name} holds {engine.context_length} tokens, too few for the prompt",
                "choose a checkpoint with a longer context",
            )

    def size(self, text: str) -> int:
        return self._engine.count(prompts.sentiment(text)) - self._instruction

    def judge(self, texts: Sequence[str]) -> Iterator[_Judged]:
        for text in texts:
            size = self.size(text)
            yield _Judged(self._scores(text), max(size, 1), size + self._instruction)

    def _scores(self, text: str) -> dict[str, float]:
        pairs = zip(self._likelihoods(text), self._bias, strict=True)
        chances = _softmax([likelihood - bias for likelihood, bias in pairs])
        return dict(zip(prompts.SENTIMENT_LABELS, chances, strict=True))

    @cached_property
    def _bias(self) -> list[float]:
        """What each label is likely after a text without sentiment (contextual calibration, Zhao et al. 2021)."""
        neutral = [self._likelihoods(text) for text in prompts.SENTIMENT_NEUTRAL]
        return [sum(values) / len(values) for values in zip(*neutral, strict=True)]

    def _likelihoods(self, text: str) -> list[float]:
        return self._engine.score(prompts.sentiment(text), list(prompts.SENTIMENT_LABELS.values()))


def known_labels(scores: Mapping[str, float]) -> dict[str, float]:
    """A checkpoint's probabilities under the names positive, negative and neutral; unknown labels keep their own."""
    known: dict[str, float] = {}
    for label, probability in scores.items():
        name = _known_name(label, len(scores))
        known[name] = known.get(name, 0.0) + probability
    return known


def _known_name(label: str, labels: int) -> str:
    plain = " ".join(re.split(r"[\s_-]+", label.strip().casefold()))
    for name, spellings in _NAMES.items():
        if plain in spellings:
            return name
    stars = re.fullmatch(r"([1-5]) ?stars?", plain)
    if stars and labels == 5:
        return _STARS[int(stars[1])]
    numbered = re.fullmatch(r"label (\d)", plain)
    if numbered and labels in _NUMBERED and int(numbered[1]) < labels:
        return _NUMBERED[labels][int(numbered[1])]
    return label


def _softmax(values: Sequence[float]) -> list[float]:
    highest = max(values)
    weights = [math.exp(value - highest) for value in values]
    return [weight / sum(weights) for weight in weights]
