"""Devices and precision: what `auto` picks here, and a clear word where the machine lacks what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lmcli.engine.files import read_json
from lmcli.engine.linear import can_pack, prefill_dtype
from lmcli.engine.memory import check_memory, needs_all_gpus
from lmcli.errors import UsageError
from lmcli.types import Checkpoint, Event, LoadOptions, Notice

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Placement:
    """Where a checkpoint runs, the dtype it computes in, and whether decode packs the weights (CPU only).

    The weights of the linear layers have so many `bits`, None where they are in `dtype`. `shared` ones lie in all GPUs
    of this machine, of which `device` is the first.
    """

    device: torch.device
    dtype: torch.dtype
    packed: bool = False
    bits: int | None = None
    low_memory: bool = False
    shared: bool = False

    @property
    def cache_dtype(self) -> torch.dtype:
        """Of the KV cache: fp32 on a CPU, where half precision rounds and hardly saves time; a GPU reads half as much
        in it, and with little memory that counts everywhere.

        Attention of one token in SmolLM2-135M's shape, masked or not, with the weights read in between, took in bf16
        1.1 times as long as in fp32 over 512 cached tokens and as long over 2,000; in fp16 1.1 and 0.93 times.
        """
        if self.device.type != "cpu" or self.dtype is torch.float32:
            return self.dtype
        return prefill_dtype() if self.low_memory else torch.float32

    @property
    def captures(self) -> bool:
        """Whether passes over few tokens run as graphs that the device launches itself, see captured."""
        return self.device.type == "cuda"

    @property
    def keeps_bits(self) -> bool:
        """Whether 8 or 4 bits stay so in memory: where there is a product with them."""
        return self.bits is not None and self.device.type == "cpu" and can_pack(self.bits)

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        packed = f", {f'int{self.bits}' if self.bits else 'float16'} packed decode" if self.packed else ""
        return f"{'all GPUs' if self.shared else self.device}, {dtype}{packed}"


def place(checkpoint: Checkpoint, options: LoadOptions, report: Callable[[Event], None]) -> Placement:
    """Resolve `auto` for our own decoders and causal checkpoints. Raises UsageError, OutOfMemory."""
    where = pick_device(options.device)
    bits = _STORED.get(checkpoint.dtype, options.bits)
    if options.dtype != "auto":
        dtype = DTYPES[options.dtype]
    elif where.type == "cpu":
        dtype = _cpu_dtype(checkpoint)
    else:
        dtype = torch.bfloat16 if has_bf16(where) else torch.float16
    # Who asks for a precision is not to get fp16 in its place.
    packs = where.type == "cpu" and (options.dtype == "auto" or bits is not None) and can_pack(bits)
    placement = Placement(where, dtype, packs and not options.low_memory, bits, options.low_memory)
    needed = _needed_bytes(checkpoint, placement)
    placement = replace(placement, shared=checkpoint.kind == "causal" and needs_all_gpus(needed, where))
    report(Notice(f"{checkpoint.name} on {placement}, {torch.get_num_threads()} threads", verbose=True))
    # Mapped weights can be paged out again, on a CPU.
    if not placement.shared and not (placement.low_memory and where.type == "cpu"):
        check_memory(checkpoint, where, needed)
    return placement


_STORED = {"int8": 8, "int4": 4}


def _needed_bytes(checkpoint: Checkpoint, placement: Placement) -> float:
    """Mapped weights can be paged out again; it is the packed copies or converted ones that must fit."""
    if checkpoint.dtype not in (*DTYPES, *_STORED):
        return checkpoint.size_bytes  # Another library has made it small, and keeps it so.
    copies = checkpoint.num_parameters * _bytes_per_parameter(checkpoint, placement)
    if not placement.packed or checkpoint.kind != "causal":
        return copies
    # The head is packed before any other layer, from a copy in fp32, to int8 through another one: where the vocabulary
    # is most of the checkpoint that is more than all the copies later.
    rounded = placement.keeps_bits and checkpoint.dtype not in _STORED
    return max(copies, (copies / 2 if rounded else 0) + _head_size(checkpoint) * (9 if placement.bits else 6))


def _head_size(checkpoint: Checkpoint) -> int:
    config = read_json(checkpoint.path / "config.json")
    rows, width = config.get("vocab_size"), config.get("hidden_size")
    return rows * width if isinstance(rows, int) and isinstance(width, int) else 0


def _bytes_per_parameter(checkpoint: Checkpoint, placement: Placement) -> float:
    if placement.keeps_bits:
        # The packed head is in int8. What was not stored in so many bits is held twice.
        return 1 if checkpoint.dtype in _STORED else 2 if placement.bits == 8 else 1.2
    return 2 if placement.packed else placement.dtype.itemsize


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


def has_bf16(device: torch.device) -> bool:
    """Whether a GPU computes in bf16 itself: those before 2020 only imitate it, slowly."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_dtype(checkpoint: Checkpoint) -> torch.dtype:
    # What lies on disk in fp32 or fp16 stays so: converting it would cost memory and precision.
    stored: str | None = checkpoint.dtype
    if stored in _STORED:
        config = read_json(checkpoint.path / "config.json")
        stored = config.get("dtype") or config.get("torch_dtype")
    return DTYPES[stored] if stored in ("float32", "float16") else prefill_dtype()


def integers(values: Sequence[int], device: torch.device) -> Tensor:
    """`values` as a tensor (N,) on `device`."""
    return outgoing(values, device).to(device, non_blocking=device.type == "cuda")


def outgoing(values: Sequence[int], device: torch.device) -> Tensor:
    """`values` as a tensor (N,) on the CPU, ready for a copy to `device` that nothing waits for: a GPU takes it from
    pinned memory, which torch uses for nothing else until it has."""
    return torch.tensor(values, dtype=torch.long, pin_memory=device.type == "cuda")
