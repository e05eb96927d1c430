"""McNemar's test: do two classifiers err on the same examples equally often? (McNemar 1947, Psychometrika 12)

Only the examples count on which one is right and the other wrong. If neither were better these would fall either way
like a coin, so the exact probability is binomial; Dietterich 1998 (Neural Computation 10) recommends the test where
each checkpoint was trained once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class McNemar:
    """How many only the first got right, how many only the second, and the exact two-sided probability of so uneven
    a split."""

    only_first: int
    only_second: int
    p: float


def compare(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """The test of two rows of answers, right or wrong. Raises ValueError where their numbers differ."""
    pairs = list(zip(first, second, strict=True))
    one = sum(a and not b for a, b in pairs)
    other = sum(b and not a for a, b in pairs)
    return McNemar(one, other, _two_sided(min(one, other), one + other))


def _two_sided(fewer: int, n: int) -> float:
    """The probability that of n coins as few as `fewer` fall on one side, either of the two."""
    # In logarithms: the binomials of thousands are beyond any float.
    least = math.fsum(math.exp(_log_binomial(n, k) - n * math.log(2)) for k in range(fewer + 1))
    return min(1.0, 2 * least)


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
