"""Bootstrap: how far a set's figures could lie elsewhere had other examples been drawn, and whether two checkpoints
that answered the same examples differ by more than that.

Percentile intervals follow Efron & Tibshirani 1993, paired resampling Koehn 2004 (ACL W04-3250). A set is drawn anew
by counting how often each example stands in it, so figures such as BLEU are computed from what each example adds to
them and no text is looked at twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 1000


class Scores(Protocol):
    """What each example of a set adds to the figures of the whole."""

    def __len__(self) -> int: ...

    def figures(self, drawn: NDArray[np.int64]) -> dict[str, float]:
        """The figures of the set in which example i stands drawn[i] times."""


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How much higher a figure of the second checkpoint is, the interval of that, and how likely a difference so large
    would be if there were none (two-sided); None where nothing was drawn, or one example says nothing of others."""

    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


class Means:
    """Figures that are the means of each example's own: `values` (n, k) of the k `names`."""

    def __init__(self, names: tuple[str, ...], values: NDArray[np.float64]) -> None:
        self.names, self.values = names, values

    def __len__(self) -> int:
        return len(self.values)

    def figures(self, drawn: NDArray[np.int64]) -> dict[str, float]:
        return dict(zip(self.names, (drawn @ self.values / max(drawn.sum(), 1)).tolist(), strict=True))


def whole(scores: Scores) -> dict[str, float]:
    """The figures of the set as it is."""
    return scores.figures(np.ones(len(scores), dtype=np.int64))


def intervals(scores: Scores, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Interval]:
    """The interval of each figure; none of a set of fewer than two examples, which says nothing about others, nor of a
    figure that is the same in all: where every answer is right, drawing anew does not tell how many others would be."""
    if len(scores) < 2 or resamples < 1:
        return {}
    rows = [scores.figures(drawn) for drawn in _draws(len(scores), resamples, seed)]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {name: _interval(values) for name, values in columns.items() if np.ptp(values) > 1e-12}


def differences(
    first: Scores, second: Scores, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Difference]:  # fmt: skip
    """How the figures of `second` differ from those of `first`, both over the same examples in the same order.

    Raises ValueError where their numbers differ.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} examples and {len(second)}")
    one, other = whole(first), whole(second)
    names = [name for name in one if name in other]
    rows = []
    if len(first) > 1:
        for drawn in _draws(len(first), resamples, seed):
            mine, others = first.figures(drawn), second.figures(drawn)
            rows.append([others[name] - mine[name] for name in names])
    found = np.array(rows).reshape(-1, len(names))
    return {name: _difference(other[name] - one[name], found[:, i]) for i, name in enumerate(names)}


def _draws(n: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(generator.integers(n, size=n), minlength=n)


def _interval(values: NDArray[np.float64]) -> Interval:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))


def _difference(observed: float, resampled: NDArray[np.float64]) -> Difference:
    if not len(resampled):
        return Difference(observed)
    bounds = _interval(resampled)
    # Moved to a mean of 0 the resamples are what there would be without a difference (Noreen 1989). One is added to
    # both counts, the observed set itself: no p-value is 0. The margin keeps equal sums that were rounded otherwise.
    spread = np.abs(resampled - resampled.mean())
    extreme = int((spread >= abs(observed) - 1e-12).sum())
    return Difference(observed, bounds.low, bounds.high, (extreme + 1) / (len(resampled) + 1))
