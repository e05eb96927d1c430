"""Smoothing: the trend of a loss that jumps from step to step."""

from __future__ import annotations

import math

from lmcli.types import TrainingStep

_SHARE = 0.02  # of a run's steps, after which a loss has lost most of its weight


class Smoothing:
    """A moving mean in which the weight of a loss falls by e each 2 % of the run's steps.

    It counts steps, not events: a run that tells of each step has the same trend as one that tells of every tenth. The
    first losses are weighed as if none had been missing before them.
    """

    def __init__(self) -> None:
        self._sum = self._weight = 0.0
        self._step = 0

    def add(self, event: TrainingStep) -> float:
        """The trend at this step; a loss that is no number is passed over, and is the trend where there was none."""
        if not math.isfinite(event.loss):
            return self._sum / self._weight if self._weight else event.loss
        since, self._step = max(event.step - self._step, 1), event.step
        kept = math.exp(-since / max(_SHARE * event.steps, 1.0))
        self._sum = kept * self._sum + (1 - kept) * event.loss
        self._weight = kept * self._weight + (1 - kept)
        return self._sum / self._weight
