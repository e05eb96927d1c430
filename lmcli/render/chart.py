"""Charts as values: curves over a common axis, for the terminal and for SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Style = Literal["line", "faint", "dots", "mark"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """Points from left to right: joined, joined and pale where there is room for it, each a dot, or each a mark.

    `color` is its place among the colours of all charts.
    """

    name: str
    points: tuple[Point, ...]
    style: Style = "line"
    color: int = 0


@dataclass(frozen=True)
class Chart:
    """Curves in one frame.

    `span` is the part of the x axis that is shown, None as far as there are points. `x_labels` names places on it where
    their numbers do not say it themselves.
    """

    title: str
    x: str
    curves: tuple[Curve, ...]
    span: tuple[float, float] | None = None
    from_zero: bool = False
    x_labels: Mapping[float, str] = field(default_factory=dict)

    @property
    def x_range(self) -> tuple[float, float]:
        return _range([*(self.span or ()), *(x for curve in self.curves for x, _ in curve.points)])

    @property
    def y_range(self) -> tuple[float, float]:
        """From the lowest to the highest; of a pale curve, which leaps, only what lies among the others counts."""
        plain = [y for curve in self.curves if curve.style != "faint" for _, y in curve.points]
        found = plain or [y for curve in self.curves for _, y in curve.points]
        return _range([0.0, *found] if self.from_zero else found)


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most so many round numbers between the two, 1, 2 or 5 of a power of ten apart; at least one where any fits."""
    step = 10 ** math.floor(math.log10((high - low) / max(most, 1)))
    while _count(low, high, step) > max(most, 1):
        step = _next(step)
    first = math.ceil(low / step - 1e-9)
    return [round((first + i) * step, 12) for i in range(_count(low, high, step))]


def tick_labels(values: Sequence[float]) -> list[str]:
    """The numbers with as many digits behind the point as tell them apart, thousands grouped."""
    for digits in range(10):
        labels = [f"{value:,.{digits}f}" for value in values]
        if all(math.isclose(float(label.replace(",", "")), value, abs_tol=1e-12)
               for label, value in zip(labels, values, strict=True)):  # fmt: skip
            return labels
    return [f"{value:g}" for value in values]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest, a little apart where they are the same."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high > low:
        return low, high
    around = abs(low) / 10 or 0.5
    return low - around, high + around


def _count(low: float, high: float, step: float) -> int:
    return math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9) + 1


def _next(step: float) -> float:
    """The next of 1, 2, 5, 10, 20…"""
    power = 10 ** math.floor(math.log10(step) + 1e-9)
    return power * next(factor for factor in (2, 5, 10) if factor * power > step * 1.01)
