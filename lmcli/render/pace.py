"""Pace: how many records are done, how fast, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from lmcli.types import Progress


class Pace:
    """Follows the Progress of many records from the first it is told of."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._since = clock, 0.0
        self._first: Progress | None = None

    def line(self, progress: Progress) -> str:
        """For example `1,234 records · 31% · 310/s · 0:02:10 left`."""
        if self._first is None:
            self._first, self._since = progress, self._clock()
        seconds = self._clock() - self._since
        done = progress.done - self._first.done
        parts = [f"{progress.done:,} {progress.unit[:-1] if progress.done == 1 else progress.unit}"]
        share = progress.share
        if share is not None:
            parts.append(f"{share:.0%}")
        if done and seconds >= 1:
            parts.append(f"{_rate(done / seconds)}")
            worked = (share or 0.0) - (self._first.share or 0.0)
            if share is not None and worked > 0:
                parts.append(f"{timedelta(seconds=round(seconds * (1 - share) / worked))} left")
        return " · ".join(parts)


def _rate(per_second: float) -> str:
    if per_second >= 1:
        return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"
    return f"{60 * per_second:.1f}/min"
