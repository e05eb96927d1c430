"""Classification: how often the label is right, how well each label is found, and which are taken for which.

Macro F1 is the mean of the labels' F1. The Matthews correlation coefficient, the measure of CoLA in GLUE, is that of
Gorodkin 2004 (doi:10.1016/j.compbiolchem.2004.09.006), which for two labels is Matthews' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelFigures:
    """One label: of those told to have it the share that has it, of those that have it the share found, and F1 of the
    two, 0 to 1; `support` is how many have it."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class ClassificationFigures:
    """Figures of a set, 0 to 1, Matthews -1 to 1. `confusion[i][j]` is how often `labels[j]` was told of a text that
    has `labels[i]`."""

    accuracy: float
    macro_f1: float
    matthews: float
    labels: tuple[LabelFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    n: int


def measure(wanted: Sequence[str], got: Sequence[str]) -> ClassificationFigures:
    """The figures of the labels `got` against those `wanted`, text by text. Raises ValueError for unequal lengths."""
    return ClassificationScores(wanted, got).measured


class ClassificationScores:
    """The labels of each text, as bootstrap.Scores. Labels are all that are wanted or told, sorted."""

    def __init__(self, wanted: Sequence[str], got: Sequence[str]) -> None:
        if len(wanted) != len(got):
            raise ValueError(f"{len(wanted)} labels wanted, {len(got)} got")
        self.labels = sorted({*wanted, *got})
        number = {label: i for i, label in enumerate(self.labels)}
        self._wanted = np.array([number[label] for label in wanted], dtype=np.int64)
        self._got = np.array([number[label] for label in got], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._wanted)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each text has the label that is wanted (n,)."""
        return self._wanted == self._got

    def figures(self, drawn: NDArray[np.int64]) -> dict[str, float]:
        return _figures(self._confusion(drawn))

    @cached_property
    def measured(self) -> ClassificationFigures:
        """The figures of the whole set."""
        confusion = self._confusion(np.ones(len(self), dtype=np.int64))
        precision, recall, f1 = _of_labels(confusion)
        support = confusion.sum(1)
        rows = zip(self.labels, precision.tolist(), recall.tolist(), f1.tolist(), support.tolist(), strict=True)
        return ClassificationFigures(
            **_figures(confusion), labels=tuple(LabelFigures(*row) for row in rows),
            confusion=tuple(tuple(row) for row in confusion.tolist()), n=len(self),
        )  # fmt: skip

    def _confusion(self, drawn: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often each label (rows) was told as each (columns), example i counted drawn[i] times (L, L)."""
        L = len(self.labels)
        counts = np.bincount(self._wanted * L + self._got, weights=drawn, minlength=L * L)
        return counts.astype(np.int64).reshape(L, L)


def _figures(confusion: NDArray[np.int64]) -> dict[str, float]:
    total = confusion.sum()
    # A label that nobody has and nobody was told is no part of the mean: in a resample a rare one may be missing.
    there = confusion.sum(0) + confusion.sum(1) > 0
    f1 = _of_labels(confusion)[2][there]
    return {
        "accuracy": float(np.trace(confusion) / total) if total else 0.0,
        "macro_f1": float(f1.mean()) if len(f1) else 0.0,
        "matthews": _matthews(confusion),
    }


def _of_labels(confusion: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision, recall and F1 of each label (L,); 0 where there is nothing to divide by."""
    right, told, had = np.diag(confusion), confusion.sum(0), confusion.sum(1)
    return _share(right, told), _share(right, had), _share(2 * right, told + had)


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return part / np.maximum(whole, 1)


def _matthews(confusion: NDArray[np.int64]) -> float:
    # In floats: the products of large sets pass 2**63.
    total, told, had = float(confusion.sum()), confusion.sum(0).astype(float), confusion.sum(1).astype(float)
    covariance = float(np.trace(confusion)) * total - told @ had
    spread = np.sqrt((total**2 - told @ told) * (total**2 - had @ had))
    return float(covariance / spread) if spread else 0.0
