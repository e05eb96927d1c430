"""A line at the bottom of the terminal that is written over and over, and taken away when anything else is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TextIO

from lmcli.render.screen import columns

_REDRAW_SECONDS = 0.1


class LiveLine:
    """Written as a whole and by one write, so that nothing flickers; no cursor is hidden, which a kill would not bring
    back."""

    def __init__(
        self, stream: TextIO, variables: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream, self._variables, self._clock = stream, variables, clock
        self._length = 0  # columns of what stands there
        self._drawn: float | None = None

    @property
    def due(self) -> bool:
        """Whether it is time to draw again: ten times a second is as often as anyone can read."""
        return self._drawn is None or self._clock() - self._drawn >= _REDRAW_SECONDS

    @property
    def columns(self) -> int:
        return columns(self._stream, self._variables)

    def draw(self, text: str, length: int) -> None:
        """Write `text`, which takes `length` columns of the terminal's."""
        written = f"{self._away()}{text}\x1b[K"
        # Known before it is there: an interrupt may come while it is written, and then it is taken away.
        self._length, self._drawn = length, self._clock()
        self._stream.write(written)
        self._stream.flush()

    def clear(self) -> None:
        if self._length:
            self._stream.write(f"{self._away()}\x1b[K")
            self._stream.flush()
        self._length, self._drawn = 0, None

    def _away(self) -> str:
        """To the beginning of the line.

        Where the terminal has become narrower, what stands there is now several lines: all but the first are erased.
        """
        above = max(self._length - 1, 0) // max(self.columns, 1)
        return "\r" + "\x1b[K\x1b[A" * above
