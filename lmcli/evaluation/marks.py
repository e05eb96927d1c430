"""Marks: what came of each example, what the figures of the whole set rest on, and how others can compute the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmcli.data.examples import Example, Place
from lmcli.evaluation.bootstrap import Scores


@dataclass(frozen=True)
class Mark:
    """One example: what was asked, wanted and got, and how good that is.

    `score` is the answer's own, as its task tells it: a label's probability, chrF of a translation, F1 of an answer…
    `right` is None where an answer is neither right nor wrong. The lower `rank`, the more it is worth a look. `error`
    says why there is no answer; it counts as a wrong one.
    """

    text: str
    wanted: tuple[str, ...]
    got: str
    score: float | None
    right: bool | None
    rank: float
    place: Place
    error: str | None = None

    def record(self) -> dict[str, Any]:
        """The documented fields of a prediction."""
        at = {"file": self.place.file, "line": self.place.line} if self.place.file else {}
        one = self.wanted[0] if len(self.wanted) == 1 else list(self.wanted)
        told = {"text": self.text, "wanted": one, "got": self.got, "score": self.score, "right": self.right}
        return at | told | ({"error": self.error} if self.error else {})


@dataclass(frozen=True)
class Marked:
    """A set that was gone through: a mark for each example, and what each adds to the figures.

    The `signature` says how the figures were computed, as sacrebleu's do. `details` are the other figures of `--json`.
    """

    marks: Sequence[Mark]
    scores: Scores
    signature: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def right(self) -> list[bool] | None:
        """Whether each answer is right; None where answers are not right or wrong."""
        judged = [mark.right for mark in self.marks]
        return None if None in judged else [bool(right) for right in judged]

    @property
    def failed(self) -> int:
        return sum(mark.error is not None for mark in self.marks)

    def worst(self, count: int) -> list[Mark]:
        """Those most worth a look: of answers that are right or wrong only wrong ones."""
        return sorted((mark for mark in self.marks if not mark.right), key=lambda mark: mark.rank)[:count]


def asked(example: Example) -> str:
    """What an example asks, as one text: of a pair both."""
    return example.text if example.second is None else f"{example.second}\n{example.text}"
