"""The engine: `load` is the door to torch and transformers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmcli.types import Checkpoint, Engine, Event


def load(
    checkpoint: Checkpoint,
    device: str = "auto",
    dtype: str = "auto",
    *,
    trust_remote_code: bool = False,
    report: Callable[[Event], None] = lambda event: None,
) -> Engine:
    """The engine for `checkpoint`: our own where its config is fully understood, else transformers'.

    `device` is auto, cpu, cuda, cuda:N or mps; `dtype` auto, float32, bfloat16 or float16. `report` is told, as
    verbose Notices, what `auto` chose and why our engine was passed over. Raises UsageError for a device this
    machine lacks, CheckpointError for weights that do not fit their config, OutOfMemory.
    """
    # Threads that wait for each other spin only briefly, then sleep: on a busy machine, in a pipe of two lmcli's say,
    # libgomp's default makes a token take ten times as long. It is read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    from lmcli.engine.loading import load_engine

    return load_engine(checkpoint, device, dtype, trust_remote_code, report)
