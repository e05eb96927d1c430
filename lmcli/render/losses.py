"""The charts of a training run: its losses, and what its validation set was measured by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from lmcli.render.chart import Chart, Curve, Point
from lmcli.render.smoothing import Smoothing
from lmcli.text.printable import printable
from lmcli.types import TrainingStep, Validation

_TRAINING, _VALIDATION, _OTHERS = 0, 1, 2  # colours
_SCALES = {"bleu": "hundred", "chrf": "hundred", "loss": "loss", "perplexity": "perplexity"}


def losses(events: Iterable[TrainingStep | Validation]) -> tuple[Chart, ...]:
    """A chart of the losses, and one of the metric by which the checkpoint was chosen with those on its scale.

    A chart of which nothing is known is left out. A log comes with a checkpoint, from wherever that was: the names in
    it are made printable.
    """
    told = [_named(event) for event in events]
    steps = [event for event in told if isinstance(event, TrainingStep)]
    validations = [event for event in told if isinstance(event, Validation)]
    metric = steps[-1].metric if steps else "loss"
    span = (0.0, float(max((event.step for event in told), default=1)))
    charts = [_losses(steps, validations, metric, span), _metrics(validations, metric, span)]
    return tuple(chart for chart in charts if any(curve.points for curve in chart.curves))


def _named(event: TrainingStep | Validation) -> TrainingStep | Validation:
    if isinstance(event, TrainingStep):
        return replace(event, metric=_name(event.metric))
    return replace(event, metrics={_name(name): value for name, value in event.metrics.items()})


def _name(text: str) -> str:
    return printable(" ".join(text.split()))


def _losses(
    steps: Sequence[TrainingStep], validations: Sequence[Validation], metric: str, span: tuple[float, float]
) -> Chart:
    trend = Smoothing()
    curves = [
        Curve("each step", _points((event.step, event.loss) for event in steps), "faint", _TRAINING),
        Curve("training", _points((event.step, trend.add(event)) for event in steps), "line", _TRAINING),
        Curve("validation", _measured(validations, "loss"), "dots", _VALIDATION),
        *([_best(validations, "loss")] if metric == "loss" else []),
    ]
    return Chart("loss", "step", tuple(curves), span)


def _metrics(validations: Sequence[Validation], metric: str, span: tuple[float, float]) -> Chart:
    """Nothing where the checkpoint was chosen by its loss."""
    names = dict.fromkeys([metric, *(name for event in validations for name in event.metrics)])
    alike = [name for name in names if _scale(name) == _scale(metric) and metric != "loss"]
    chosen = Curve(metric, _measured(validations, metric), "dots", _VALIDATION)
    others = [Curve(name, _measured(validations, name), "line", _OTHERS + i) for i, name in enumerate(alike[1:])]
    return Chart(metric, "step", (*others, chosen, _best(validations, metric)) if alike else (), span)


def _measured(validations: Iterable[Validation], metric: str) -> tuple[Point, ...]:
    return _points((event.step, event.metrics[metric]) for event in validations if metric in event.metrics)


def _best(validations: Sequence[Validation], metric: str) -> Curve:
    """The last validation that was better than all before: that of the checkpoint which is kept."""
    kept = [event for event in validations if event.improved][-1:]
    return Curve("best", _measured(kept, metric), "mark", _VALIDATION)


def _points(points: Iterable[tuple[float, float]]) -> tuple[Point, ...]:
    """What has diverged has no place in a chart."""
    return tuple((float(x), float(y)) for x, y in points if math.isfinite(y))


def _scale(metric: str) -> str:
    return _SCALES.get(metric, "share")
