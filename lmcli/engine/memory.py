"""Memory: whether a checkpoint fits before it is loaded, and running out of it told as such."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from lmcli.errors import OutOfMemory
from lmcli.types import Checkpoint

_WAY_OUT = "choose a smaller checkpoint: lmcli list --all"


@contextmanager
def memory_errors(checkpoint: Checkpoint) -> Iterator[None]:
    """Turn the allocators' errors into OutOfMemory."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(f"{checkpoint.name} does not fit into memory", _WAY_OUT) from error
    except RuntimeError as error:
        # torch's CPU allocator raises a plain RuntimeError, the GPU's a subclass of it.
        if "out of memory" not in str(error) and "not enough memory" not in str(error):
            raise
        raise OutOfMemory(f"{checkpoint.name} does not fit into memory", _WAY_OUT) from error


def check_memory(checkpoint: Checkpoint, device: torch.device, needed: float) -> None:
    """Raises OutOfMemory where the weights alone, `needed` bytes of them, cannot fit."""
    on_gpu = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    if needed > free:
        raise OutOfMemory(
            f"{checkpoint.name} needs {needed / 1e9:.1f} GB for its weights, {device} has {free / 1e9:.1f} GB free",
            _WAY_OUT,
        )
