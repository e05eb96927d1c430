"""Memory: whether a checkpoint fits before it is loaded, and running out of it told as such."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from lmcli.errors import OutOfMemory
from lmcli.types import Checkpoint

_WAY_OUT = "choose a smaller checkpoint: lmcli list --all"
_ON_CPU = "run it on the CPU with --device cpu, in half the memory with --bits 8"
_SHARED = 0.9  # of several GPUs' memory: accelerate keeps a tenth of each free


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
    """Raises OutOfMemory where the weights alone, `needed` bytes, cannot fit."""
    free = free_bytes(device)
    if needed > free:
        raise OutOfMemory(
            f"{checkpoint.name} needs {needed / 1e9:.1f} GB for its weights, {device} has {free / 1e9:.1f} GB free",
            f"{_ON_CPU}, or {_WAY_OUT}" if device.type == "cuda" else _WAY_OUT,
        )


def needs_all_gpus(needed: float, device: torch.device) -> bool:
    """Whether `needed` bytes go into no GPU alone but into all together; never where one of them was named."""
    if device.type != "cuda" or device.index is not None or needed <= free_bytes(device):
        return False
    return needed <= _SHARED * sum(free_bytes(gpu) for gpu in gpus())


def gpus() -> list[torch.device]:
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]


def free_bytes(device: torch.device) -> int:
    free: int = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return free
