"""Correlation: how well a checkpoint's numbers go with those that people gave, as STS-B in GLUE asks.

Pearson's is that of the numbers, Spearman's that of their ranks, where equal numbers share the mean of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class CorrelationScores:
    """The two numbers of each text, as bootstrap.Scores. Figures are -1 to 1, and 0 where one side is all the same."""

    def __init__(self, wanted: Sequence[float], got: Sequence[float]) -> None:
        """Raises ValueError for unequal lengths."""
        if len(wanted) != len(got):
            raise ValueError(f"{len(wanted)} numbers wanted, {len(got)} got")
        self._wanted, self._got = np.array(wanted, dtype=float), np.array(got, dtype=float)

    def __len__(self) -> int:
        return len(self._wanted)

    def figures(self, drawn: NDArray[np.int64]) -> dict[str, float]:
        wanted, got = (_ranks(side, drawn) for side in (self._wanted, self._got))
        return {
            "pearson": _correlation(self._wanted, self._got, drawn),
            "spearman": _correlation(wanted, got, drawn),
        }

    def misses(self) -> Numbers:
        """How far each number is from the line that fits all best, in standard deviations of what is wanted (n,)."""
        wanted, got = (_standardized(side) for side in (self._wanted, self._got))
        return np.abs(wanted - got * float(wanted @ got) / max(len(got), 1))


def _correlation(first: Numbers, second: Numbers, drawn: NDArray[np.int64]) -> float:
    """Pearson's, of the set in which text i stands drawn[i] times."""
    total = max(drawn.sum(), 1)
    first, second = first - drawn @ first / total, second - drawn @ second / total
    spread = float(np.sqrt((drawn @ first**2) * (drawn @ second**2)))
    return float(drawn @ (first * second)) / spread if spread else 0.0


def _ranks(values: Numbers, drawn: NDArray[np.int64]) -> Numbers:
    """The rank of each number among all that were drawn, from 1."""
    _, place = np.unique(values, return_inverse=True)
    counts = np.bincount(place, weights=drawn)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _standardized(values: Numbers) -> Numbers:
    spread = float(values.std()) if len(values) else 0.0
    return (values - values.mean()) / spread if spread else np.zeros_like(values)
