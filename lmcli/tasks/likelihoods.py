"""Likelihoods: a language model judges by how likely each label is after a text; nothing it writes is parsed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from lmcli.errors import InputTooLong
from lmcli.protocols import CausalEngine
from lmcli.tasks.judging import Judged
from lmcli.types import Prompt

_SEAM = 16  # tokens, for what merges where text and prompt meet
_TEXTS = 32  # scored in one call: several passes, and the first are shown soon
Write = Callable[[str], Prompt]


class LikelihoodJudge:
    """Probabilities of labels that exclude each other, calibrated: what a label's likelihood is after `references` it
    owes to its words and to the prompt (contextual calibration, Zhao et al. 2021, arXiv:2102.09690).

    `form` writes the prompt around a text, `endings` are what is written behind it for each label. The references are
    texts that say nothing, or as many of each label.
    """

    def __init__(
        self, engine: CausalEngine, form: Write, endings: Mapping[str, str], references: Sequence[str]
    ) -> None:
        self._engine, self._form, self._endings, self._references = engine, form, endings, references
        self._instruction = engine.count(form(""))
        self.room = room_beside(engine, self._instruction, endings.values())

    def size(self, text: str) -> int:
        return self._engine.count(self._form(text)) - self._instruction

    def judge(self, texts: Sequence[str]) -> Iterator[Judged]:
        for first in range(0, len(texts), _TEXTS):
            some = texts[first : first + _TEXTS]
            for text, likelihoods in zip(some, self._likelihoods(some), strict=True):
                size = self.size(text)
                chances = softmax([own - bias for own, bias in zip(likelihoods, self._bias, strict=True)])
                scores = dict(zip(self._endings, chances, strict=True))
                yield Judged(scores, max(size, 1), size + self._instruction)

    @cached_property
    def _bias(self) -> list[float]:
        return means(self._likelihoods(self._references))

    def _likelihoods(self, texts: Sequence[str]) -> list[list[float]]:
        """Of each text the log-likelihoods of the labels."""
        return self._engine.score_many([self._form(text) for text in texts], list(self._endings.values()))


class YesOrNoJudge:
    """Probabilities of labels of which several may hold or none: each is asked about alone, calibrated likewise.

    `ask` writes the question whether a label holds for a text, after which `yes` and `no` are compared.
    """

    def __init__(
        self, engine: CausalEngine, ask: Callable[[str, str], Prompt], labels: Sequence[str],
        answers: tuple[str, str], references: Sequence[str],
    ) -> None:  # fmt: skip
        self._engine, self._ask, self._labels, self._answers, self._references = (
            engine,
            ask,
            labels,
            answers,
            references,
        )
        self._instruction = max(engine.count(ask("", label)) for label in labels)
        self.room = room_beside(engine, self._instruction, answers)

    def size(self, text: str) -> int:
        return max(self._engine.count(self._ask(text, label)) for label in self._labels) - self._instruction

    def judge(self, texts: Sequence[str]) -> Iterator[Judged]:
        for text in texts:
            leaning = [own - bias for own, bias in zip(self._leanings(text), self._bias, strict=True)]
            scores = {label: sigmoid(lean) for label, lean in zip(self._labels, leaning, strict=True)}
            size = self.size(text)
            yield Judged(scores, max(size, 1), len(self._labels) * (size + self._instruction))

    @cached_property
    def _bias(self) -> list[float]:
        return means([self._leanings(text) for text in self._references])

    def _leanings(self, text: str) -> list[float]:
        """How much likelier yes is than no, for each label."""
        prompts = [self._ask(text, label) for label in self._labels]
        return [yes - no for yes, no in self._engine.score_many(prompts, self._answers)]


def room_beside(engine: CausalEngine, instruction: int, endings: Iterable[str]) -> int:
    """Tokens of a text beside a prompt of `instruction` tokens. Raises InputTooLong where there are none."""
    longest = max(engine.count(ending) for ending in endings)
    room = engine.context_length - instruction - longest - _SEAM
    if room < 1:
        raise InputTooLong(
            f"the context of {engine.checkpoint.name} holds {engine.context_length} tokens, too few for the prompt",
            "choose a checkpoint with a longer context",
        )
    return room


def softmax(values: Sequence[float]) -> list[float]:
    """Probabilities of values that exclude each other."""
    highest = max(values)
    weights = [math.exp(value - highest) for value in values]
    return [weight / sum(weights) for weight in weights]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0


def means(rows: Sequence[Sequence[float]]) -> list[float]:
    """The mean of each column."""
    return [sum(column) / len(column) for column in zip(*rows, strict=True)]
