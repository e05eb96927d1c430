"""Devices and precision: what `auto` picks here, and a clear word where the machine lacks what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from lmcli.engine.linear import can_pack
from lmcli.errors import OutOfMemory, UsageError
from lmcli.types import Checkpoint, Event, Notice

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Placement:
    """Where a checkpoint runs: the weights' dtype, and whether decode packs them in fp16 (CPU only)."""

    device: torch.device
    dtype: torch.dtype
    packed: bool = False

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.device}, {dtype}" + (" prefill, float16 packed decode" if self.packed else "")


def place(checkpoint: Checkpoint, device: str, dtype: str, report: Callable[[Event], None]) -> Placement:
    """Resolve `auto` for our own decoders and causal checkpoints. Raises UsageError, OutOfMemory."""
    where = pick_device(device)
    if dtype != "auto":
        placement = Placement(where, DTYPES[dtype])
    elif where.type == "cpu":
        placement = Placement(where, _cpu_prefill_dtype(checkpoint), can_pack())
    else:
        half = torch.bfloat16 if where.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
        placement = Placement(where, half)
    report(Notice(f"{checkpoint.name} on {placement}, {torch.get_num_threads()} threads", verbose=True))
    check_memory(checkpoint, placement)
    return placement


def pick_device(device: str) -> torch.device:
    """auto is the GPU where there is one. Raises UsageError for a device that is not here."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"unknown device '{device}'", "devices are auto, cpu, cuda, cuda:N and mps") from error
    here = {"cpu": 1, "cuda": torch.cuda.device_count() if cuda else 0, "mps": int(mps)}.get(picked.type, 0)
    if (picked.index or 0) >= here:
        raise UsageError(f"device '{device}' is not available on this machine", "use --device auto or --device cpu")
    return picked


def check_memory(checkpoint: Checkpoint, placement: Placement) -> None:
    """Raises OutOfMemory before loading where the weights alone cannot fit."""
    needed = checkpoint.num_parameters * placement.dtype.itemsize
    if placement.device.type == "cuda":
        free = torch.cuda.mem_get_info(placement.device)[0]
    else:
        free = psutil.virtual_memory().available
    if needed > free:
        raise OutOfMemory(
            f"{checkpoint.name} needs {needed / 1e9:.1f} GB for its weights, "
            f"{placement.device} has {free / 1e9:.1f} GB free",
            "choose a smaller checkpoint: lmcli list --all",
        )


def _cpu_prefill_dtype(checkpoint: Checkpoint) -> torch.dtype:
    # bf16 arithmetic is 2.5 times as fast as fp32 where the CPU has it; fp16's is 10 times slower. What lies on disk
    # in fp32 stays so: converting it would cost memory and precision.
    if checkpoint.dtype == "float32" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.float32
    return torch.bfloat16
