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
_NARROWEST, _WIDEST = 7, 30  # columns of the bar
# What the line tells, from a wide terminal to a narrow one.
_LAYOUTS = (
    ("share", "step", "epoch", "loss", "best", "rate", "left"),
    ("share", "step", "epoch", "loss", "short_best", "rate", "left"),
    ("share", "step", "epoch", "loss", "short_best", "left"),
    ("share", "count", "epoch", "loss", "short_best", "left"),
    ("share", "count", "loss", "short_best", "left"),
    ("share", "count", "loss", "left"),
    ("share", "loss", "left"),
    ("share", "loss"),
    ("share",),
)


class RunPace:
    """Follows a run from the first step it is told of; a resumed run is measured from where it went on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._since = clock, 0.0
        self._first: int | None = None
        self._smoothing = Smoothing()
        self._figures: dict[str, str] = {}

    def parts(self, event: TrainingStep) -> dict[str, str]:
        """What there is to tell, by name; what is not known yet is not there."""
        self._figures = {"epoch": f"epoch {event.epoch:.1f}", "loss": f"loss {self._smoothing.add(event):.3f}"}
        if event.best is not None:
            self._figures["best"] = f"best {event.metric} {figure(event.metric, event.best)}"
            self._figures["short_best"] = f"best {figure(event.metric, event.best)}"
        if event.tokens_per_second > 0:
            self._figures["rate"] = f"{event.tokens_per_second:,.0f} tokens/s"
        return self.moved(event.step, event.steps)

    def moved(self, step: int, steps: int) -> dict[str, str]:
        """The same of a step that tells no figures: those of the last one that did."""
        if self._first is None:
            self._first, self._since = step, self._clock()
        told = {
            "share": f"{share_done(step, steps):.0%}",
            "step": f"step {step:,}/{steps:,}",
            "count": f"{step:,}/{steps:,}",
        }
        left = self._left(step, steps)
        return told | self._figures | ({"left": f"{timedelta(seconds=round(left))} left"} if left is not None else {})

    def _left(self, step: int, steps: int) -> float | None:
        """Seconds to the end at the pace so far, in which the validations count too."""
        seconds, done = self._clock() - self._since, step - (self._first or 0)
        return seconds / done * (steps - step) if done > 0 and step < steps and seconds >= 1 else None


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
    figures = sorted(event.metrics.items(), key=lambda item: item[0] == "loss")  # What it is measured by goes before.
    yield from (f"{name} {figure(name, value)}" for name, value in figures)
    if event.improved:
        yield "best"


@dataclass(frozen=True)
class BarStyle:
    """The characters of a bar: done, its end, to do."""

    done: str = "━"
    end: str = "╸"
    left: str = "─"


UNICODE, ASCII = BarStyle(), BarStyle("=", ">", "-")


def fit(parts: Mapping[str, str], columns: int, style: BarStyle, share: float) -> tuple[str, str]:
    """The bar and the text behind it; the bar is empty where there is no room.

    Three columns stay free: one for the cursor, and two for the ^C that a terminal shows where it is typed.
    """
    room = columns - 3
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


def share_done(step: int, steps: int) -> float:
    """How much of the run is done, 0 to 1."""
    return min(step / steps, 1.0) if steps else 0.0
