"""Shows the losses of the run that trained a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from lmcli.errors import CheckpointError
from lmcli.render import Renderer
from lmcli.render.losses import losses
from lmcli.training.log import TrainingEvent, TrainingLog, steps, validations
from lmcli.types import Checkpoint, TrainingStep, Validation

COLUMNS = {"step": "STEP", "epoch": "EPOCH", "measure": "MEASURE", "value": "VALUE"}


def show_losses(checkpoint: Checkpoint, renderer: Renderer) -> None:
    """Raises CheckpointError for a checkpoint without a log."""
    events = TrainingLog(checkpoint.path).events()
    if not events:
        raise CheckpointError(
            f"{checkpoint.name} has no log of its training",
            "lmcli finetune and lmcli pretrain write one beside what they train: name that folder",
        )
    values = {
        "name": checkpoint.name,
        "path": str(checkpoint.path),
        "steps": [_known(vars(event)) for event in steps(events)],
        "validations": [_known(vars(event)) for event in validations(events)],
    }
    renderer.record(values, list(_rows(events)), COLUMNS, losses(events))


def _rows(events: Sequence[TrainingEvent]) -> Iterator[dict[str, Any]]:
    """What was measured, a number a row."""
    for event in events:
        found = {"training loss": event.loss} if isinstance(event, TrainingStep) else _validation(event)
        for measure, value in found.items():
            yield {"step": event.step, "epoch": f"{event.epoch:.4f}", "measure": measure, "value": f"{value:.6g}"}


def _validation(event: Validation) -> dict[str, float]:
    return {"validation loss" if name == "loss" else name: value for name, value in event.metrics.items()}


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: what has diverged is null."""
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()}  # fmt: skip
