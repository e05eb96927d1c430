"""A training run on a terminal: one live line at the bottom, and above it a line for each validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from lmcli.render.live_line import LiveLine
from lmcli.render.run_line import ASCII, UNICODE, RunPace, fit, share_done, validation_parts
from lmcli.render.screen import knows_unicode
from lmcli.text.printable import printable
from lmcli.types import Progress, TrainingStep, Validation

STEPS, VALIDATION = "training steps", "validation examples"  # the units of a Progress that is part of a run
_CYAN, _DIM, _BEST = "36", "2", "1;32"  # SGR


class LiveRun:
    """Draws what it is told of; `clear` takes the live line away until the next event."""

    def __init__(self, stream: TextIO, variables: Mapping[str, str], color: bool) -> None:
        self._stream, self._color = stream, color
        self._line, self._pace = LiveLine(stream, variables), RunPace()
        self._style = UNICODE if knows_unicode(variables) else ASCII
        self._parts: Mapping[str, str] = {}
        self._share = 0.0

    def show(self, event: TrainingStep | Validation | Progress) -> None:
        """`Progress` is that of the steps between two events, or of the validation under way."""
        match event:
            case TrainingStep():
                # The pace is told of each loss, whether or not it is drawn.
                self._step(self._pace.parts(event), event.step, event.steps)
            case Validation():
                self._validation(event)
            case Progress(unit=unit) if unit == STEPS:
                self._step(self._pace.moved(event.done, event.total), event.done, event.total)
            case Progress():
                self._validating(event)

    def clear(self) -> None:
        self._line.clear()

    def _step(self, parts: Mapping[str, str], step: int, steps: int) -> None:
        self._parts, self._share = parts, share_done(step, steps)
        if self._line.due or step >= steps:
            self._draw(parts)

    def _validating(self, event: Progress) -> None:
        """How far the validation is, in the place of what stands still meanwhile."""
        if self._parts and self._line.due:
            share = event.done / event.total if event.total else 0.0
            kept = {name: text for name, text in self._parts.items() if name not in ("best", "short_best", "rate")}
            self._draw(kept | {"loss": f"validating {share:.0%}"})

    def _validation(self, event: Validation) -> None:
        self.clear()
        paints = {0: _DIM, 1: _DIM}
        told = [self._paint(printable(text), _BEST if text == "best" else paints.get(place, ""))
                for place, text in enumerate(validation_parts(event))]  # fmt: skip
        self._stream.write(" · ".join(told) + "\n")
        self._stream.flush()
        if self._parts:
            self._draw(self._parts)

    def _draw(self, parts: Mapping[str, str]) -> None:
        bar, text = fit(parts, self._line.columns, self._style, self._share)
        length = len(bar) + bool(bar) + len(text)
        text = printable(text)
        self._line.draw(f"{self._paint(bar, _CYAN)} {text}" if bar else text, length)

    def _paint(self, text: str, sgr: str) -> str:
        return f"\x1b[{sgr}m{text}\x1b[0m" if self._color and sgr else text
