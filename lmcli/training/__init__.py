"""Training: fine-tune a checkpoint on examples, or train one from nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from lmcli.training.plan import Plan
from lmcli.types import Event

if TYPE_CHECKING:
    from lmcli.training.limits import Reading
    from lmcli.training.run import Run


def prepare(plan: Plan, report: Callable[[Event], None]) -> Run:
    """The door to transformers' Trainer: the plan, ready to be run. Raises LmcliError."""
    from lmcli.training.gpu import choose_gpu

    device = choose_gpu(plan.device, os.environ)
    from lmcli.training.run import Run

    return Run(replace(plan, device=device), report)


def reading(plan: Plan) -> Reading:
    """How the tokens of a text are counted, and how many are read. Raises CheckpointError, UsageError."""
    from lmcli.training import limits

    return limits.reading(plan)
