"""A training run in one line: how far it is, how well it does, how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from lmcli.render.figures import figure
from lmcli.render.smoothing import Smoothing
from lmcli.types import TrainingStep, Validation

_LOG_SECONDS, _LOG_LINES = 60, 20
_NARROWEST, _WIDEST = 10, 30  # columns of the bar
# What the line tells, from a wide terminal to a narrow one.
_LAYOUTS = (
    ("share", "step", "epoch", "loss", "best", "rate", "left"),
    ("share", "step", "epoch", "loss", "short_best", "rate", "left"),
    ("share", "step", "epoch", "loss", "short_best", "left"),
    ("share", "step", "loss", "short_best", "left"),
    ("share", "step", "loss", "left"),
    ("share", "loss", "left"),
    ("share", "loss"),
    ("share",),
)


class RunPace:
    """Follows a run from the first step it is told of; a resumed run is measured from where it went on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._since = clock, 0.0
        self._first: TrainingStep | None = None
        self._smoothing = Smoothing()

    def parts(self, event: TrainingStep) -> dict[str, str]:
        """What there is to tell, by name; what is not known yet is not there."""
        if self._first is None:
            self._first, self._since = event, self._clock()
        told = {
            "share": f"{share_done(event):.0%}",
            "step": f"step {event.step:,}/{event.steps:,}",
            "epoch": f"epoch {event.epoch:.1f}",
            "loss": f"loss {self._smoothing.add(event):.3f}",
        }
        if event.best is not None:
            told["best"] = f"best {event.metric} {figure(event.metric, event.best)}"
            told["short_best"] = f"best {figure(event.metric, event.best)}"
        if event.tokens_per_second > 0:
            told["rate"] = f"{event.tokens_per_second:,.0f} tokens/s"
        left = self._left(event)
        return told | ({"left": f"{timedelta(seconds=round(left))} left"} if left is not None else {})

    def _left(self, event: TrainingStep) -> float | None:
        """Seconds to the end at the pace so far, in which the validations count too."""
        seconds, done = self._clock() - self._since, event.step - self._first.step if self._first else 0
        to_do = event.steps - event.step
        return seconds / done * to_do if done > 0 and to_do > 0 and seconds >= 1 else None


class RunLog:
    """Says which steps of a run are worth a line in a file: each 5 % of the run, and one a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._pace = clock, RunPace(clock)
        self._logged: tuple[float, int] | None = None  # seconds, which of the twenty parts

    def line(self, event: TrainingStep) -> str | None:
        parts, now, twentieth = self._pace.parts(event), self._clock(), _LOG_LINES * event.step // max(event.steps, 1)
        if self._logged and now - self._logged[0] < _LOG_SECONDS and twentieth == self._logged[1]:
            return None
        self._logged = now, twentieth
        return " · ".join(parts[name] for name in _LAYOUTS[0] if name in parts)


def validation_parts(event: Validation) -> Iterator[str]:
    """For example `step 400`, `epoch 1.0`, `accuracy 87.6%`, `loss 0.310`, `best`."""
    yield f"step {event.step:,}"
    yield f"epoch {event.epoch:.1f}"
    yield from (f"{name} {figure(name, value)}" for name, value in event.metrics.items())
    if event.improved:
        yield "best"


@dataclass(frozen=True)
class BarStyle:
    """The characters of a bar: done, its end, to do."""

    done: str = "━"
    end: str = "╸"
    left: str = "─"


ASCII = BarStyle("=", ">", "-")


def fit(parts: Mapping[str, str], columns: int, style: BarStyle, share: float) -> tuple[str, str]:
    """The bar and the text behind it, which together leave a column free; the bar is empty where there is no room."""
    room = columns - 1
    for layout in _LAYOUTS:
        text = " · ".join(parts[name] for name in layout if name in parts)
        bar = min(room - len(text) - 1, _WIDEST)
        if bar >= _NARROWEST:
            return draw_bar(share, bar, style), text
    text = parts["share"]
    return "", text[: max(room, 0)]


def draw_bar(share: float, columns: int, style: BarStyle) -> str:
    full = min(int(share * columns), columns)
    end = style.end if full < columns else ""
    return style.done * full + end + style.left * (columns - full - len(end))


def share_done(event: TrainingStep) -> float:
    """How much of the run is done, 0 to 1."""
    return min(event.step / event.steps, 1.0) if event.steps else 0.0
