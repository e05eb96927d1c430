"""Likelihoods: a language model judges by how likely each label is after a text; nothing it writes is parsed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from lmcli.errors import InputTooLong
from lmcli.tasks.judging import Judged
from lmcli.types import CausalEngine, Prompt

_SEAM = 16  # tokens, for what merges where text and prompt meet
_TEXTS = 32  # scored in one call: several passes, and the first are shown soon
Write = Callable[[str], Prompt]


class LikelihoodJudge:
    """Probabilities of labels that exclude each other, calibrated (contextual calibration, Zhao et al. 2021,
    arXiv:2102.09690): a label's likelihood after texts that say nothing is what it owes to its words and to the prompt.

    `forms` write the prompt around a text; what they disagree in, such as the order of the labels, is averaged.
    `endings` are what is written behind it for each label, `empty` the texts that say nothing.
    """

    def __init__(
        self, engine: CausalEngine, forms: Sequence[Write], endings: Mapping[str, str], empty: Sequence[str]
    ) -> None:
        self._engine, self._forms, self._endings, self._empty = engine, forms, endings, empty
        self._instruction = max(engine.count(form("")) for form in forms)
        self.room = room_beside(engine, self._instruction, endings.values())

    def size(self, text: str) -> int:
        return max(self._engine.count(form(text)) for form in self._forms) - self._instruction

    def judge(self, texts: Sequence[str]) -> Iterator[Judged]:
        for first in range(0, len(texts), _TEXTS):
            some = texts[first : first + _TEXTS]
            for text, likelihoods in zip(some, self._likelihoods(some), strict=True):
                size = self.size(text)
                chances = softmax([own - bias for own, bias in zip(likelihoods, self._bias, strict=True)])
                tokens = len(self._forms) * (size + self._instruction)
                yield Judged(dict(zip(self._endings, chances, strict=True)), max(size, 1), tokens)

    @cached_property
    def _bias(self) -> list[float]:
        return means(self._likelihoods(self._empty))

    def _likelihoods(self, texts: Sequence[str]) -> list[list[float]]:
        """Of each text the log-likelihoods of the labels, the means of all forms."""
        endings = list(self._endings.values())
        found = [self._engine.score_many([form(text) for text in texts], endings) for form in self._forms]
        return [means(rows) for rows in zip(*found, strict=True)]


class YesOrNoJudge:
    """Probabilities of labels of which several may hold or none: each is asked about alone, calibrated likewise.

    `ask` writes the question whether a label holds for a text, after which `yes` and `no` are compared.
    """

    def __init__(
        self, engine: CausalEngine, ask: Callable[[str, str], Prompt], labels: Sequence[str],
        answers: tuple[str, str], empty: Sequence[str],
    ) -> None:  # fmt: skip
        self._engine, self._ask, self._labels, self._answers, self._empty = engine, ask, labels, answers, empty
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
        return means([self._leanings(text) for text in self._empty])

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
