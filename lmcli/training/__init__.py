"""Training: fine-tune a checkpoint on examples, or train one from nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from lmcli.training.plan import Plan
from lmcli.types import Event

if TYPE_CHECKING:
    from lmcli.training.run import Run


def prepare(plan: Plan, report: Callable[[Event], None]) -> Run:
    """The door to transformers' Trainer: the plan, ready to be run. Raises LmcliError."""
    from lmcli.training.gpu import choose_gpu

    device = choose_gpu(plan.device, os.environ)
    from lmcli.training.run import Run

    return Run(replace(plan, device=device), report)


def reading(plan: Plan) -> tuple[Callable[[str], int], int]:
    """How the tokens of a text are counted, and the most of an example that are read. Raises CheckpointError."""
    from lmcli.training import limits

    return limits.reading(plan)
