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
from torch.nn import functional as F

from lmcli.engine.device import DTYPES, pick_device

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
    """Bytes a second that all threads together read from memory, at the best of some tries."""
    picked = pick_device(device)
    size = _READ_BYTES if picked.type == "cpu" else _READ_BYTES_GPU
    ones = torch.ones(size // 4, device=picked)
    return size / _best(lambda: ones.sum().item())


def flops(device: str, dtype: str) -> float:
    """Floating-point operations a second in a product of two square matrices, at the best of some tries."""
    picked = pick_device(device)
    n = _SIDE if picked.type == "cpu" else _SIDE_GPU
    x, weight = (torch.randn(n, n, device=picked).to(DTYPES[dtype]) for _ in range(2))
    return 2 * n**3 / _best(lambda: F.linear(x, weight)[0, 0].item())


def _best(work: Callable[[], object]) -> float:
    seconds: list[float] = []
    while len(seconds) < 2 or (len(seconds) < _TRIES and sum(seconds) < _ENOUGH_SECONDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _cpu() -> str:
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
