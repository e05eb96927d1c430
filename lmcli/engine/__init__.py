"""The engine: `load` is the door to torch and transformers."""

from __future__ import annotations

from lmcli.types import Checkpoint, Engine


def load(
    checkpoint: Checkpoint,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
) -> tuple[Engine, str]:
    raise NotImplementedError
