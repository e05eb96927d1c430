"""The machine: what it is, how fast it reads memory and multiplies matrices."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.nn import functional as F

from lmcli.engine.device import DTYPES, pick_device
from lmcli.engine.memory import free_bytes

_READ_BYTES = 256 << 20  # far more than any cache holds
_READ_BYTES_GPU = 4 << 30
_SIDE, _SIDE_GPU = 2048, 8192  # of the square matrices
# The first try touches the memory, others may meet what else is running.
_TRIES, _ENOUGH_SECONDS = 10, 0.4


def describe(device: str) -> dict[str, Any]:
    """The fields of report.Machine that do not change, with what `device` auto is. Raises UsageError."""
    picked = pick_device(device)
    gpu = torch.cuda.get_device_name(picked) if picked.type == "cuda" else None
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": f"{picked} ({gpu})" if gpu else str(picked),
    }


def bandwidth(device: str) -> float:
    """Bytes a second that the whole device reads from its memory, at the best of some tries."""
    picked = pick_device(device)
    # Beside the sides' own weights there may be less room.
    size = _READ_BYTES if picked.type == "cpu" else min(_READ_BYTES_GPU, free_bytes(picked) // 4)
    ones = torch.ones(size // 4, device=picked)
    return ones.nbytes / _best(ones.sum, picked)


def flops(device: str, dtype: str) -> float:
    """Floating-point operations a second in a product of two square matrices, at the best of some tries."""
    picked = pick_device(device)
    n = _SIDE if picked.type == "cpu" else _SIDE_GPU
    x, weight = (torch.randn(n, n, device=picked).to(DTYPES[dtype]) for _ in range(2))
    return 2 * n**3 / _best(lambda: F.linear(x, weight), picked)


def _best(work: Callable[[], Tensor], device: torch.device) -> float:
    seconds: list[float] = []
    while len(seconds) < 2 or (len(seconds) < _TRIES and sum(seconds) < _ENOUGH_SECONDS):
        seconds.append(_on_gpu(work, device) if device.type == "cuda" else _elapsed(work))
    return min(seconds)


def _elapsed(work: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    work().view(-1)[0].item()  # Only then is it done, if on another device.
    return time.perf_counter() - start


def _on_gpu(work: Callable[[], Tensor], device: torch.device) -> float:
    """By the GPU's own clock: launching the work and hearing of its end is no part of it."""
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
    return float(start.elapsed_time(end)) / 1000


def _cpu() -> str:
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
