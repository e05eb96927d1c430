"""Linear layers that share an input, run as one; packed in fp16 where one row at a time is decoded on a CPU."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmcli.engine.quantization import Int8Product, can_int8, quantize_rows

# From 16 rows on, bf16 arithmetic overtakes the packed product (measured on AVX-512 with bf16).
PACKED_ROWS = 8


class Linear(nn.Module):
    """A weight (N, K) and perhaps a bias (N,), on the meta device until the checkpoint's own are assigned.

    nn.Linear would initialise them, and on the meta device that alone imports torch._dynamo: two seconds.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__()
        self.weight = empty(outputs, inputs)
        self.bias: nn.Parameter | None = empty(outputs) if bias else None


def empty(*shape: int) -> nn.Parameter:
    """A parameter that has a shape and no memory yet."""
    return nn.Parameter(torch.empty(shape, device="meta"), requires_grad=False)


class Fused(nn.Module):
    """The concatenated outputs (T, ΣN) of several Linear (N, K) on one x (T, K).

    `parts` are not its children: a checkpoint names their weights elsewhere.
    """

    def __init__(self, *parts: Linear) -> None:
        super().__init__()
        self.parts = parts
        self.packed: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.packed is not None and x.shape[0] <= PACKED_ROWS:
            packed: Tensor = self.packed(x)
            return packed
        dtype = self.parts[0].weight.dtype
        if dtype is torch.float16 and x.device.type == "cpu" and x.shape[0] > PACKED_ROWS:
            # fp16 arithmetic is ten times slower than bf16's or fp32's on a CPU: convert the weights on the way.
            dtype = prefill_dtype()
        x = x.to(dtype)
        outputs = [F.linear(x, _as(part.weight, dtype), _as(part.bias, dtype)) for part in self.parts]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)

    def fuse(self) -> None:
        """Lay the parts' weights side by side in memory, so that one product does for all of them.

        The parts become views, so the memory is held once.
        """
        if len(self.parts) == 1:
            return
        whole = Linear(1, 1)
        whole.weight = _stacked([part.weight for part in self.parts])
        biases = self._biases()
        whole.bias = _stacked(biases) if biases else None
        self.parts = (whole,)

    def pack(self, weight: Tensor, bits: int | None) -> None:
        """Keep a copy of `weight`, all parts' in fp32 (ΣN, K), for few rows: in fp16, or int8 where `bits` is 8."""
        biases = self._biases()
        bias = torch.cat(biases).float() if biases else None
        if bits == 8:
            self.packed = Int8Product(*quantize_rows(weight), bias)
        elif weight.abs().max() <= torch.finfo(torch.float16).max:  # Else it stays as it is: fp16 could not hold it.
            self.packed = HalfProduct(weight, bias)

    def _biases(self) -> list[nn.Parameter]:
        """The parts' biases: all have one or none has."""
        return [part.bias for part in self.parts if part.bias is not None]


class HalfProduct(nn.Module):
    """x (T, K) times the transpose of a weight (N, K) kept in fp16 in fbgemm's layout: fp32 (T, N).

    Decode reads every weight once per token, and this op reads at 24-34 GB/s where F.linear with one row reaches 12-16.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.packed: Any = torch.ops.quantized.linear_prepack_fp16(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self.packed)
        return y


@cache
def prefill_dtype() -> torch.dtype:
    """What this CPU multiplies matrices fastest in: bf16, 2.5 times as fast as fp32, where it has it."""
    mkldnn = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if mkldnn else torch.float32


def _as(parameter: nn.Parameter | None, dtype: torch.dtype) -> Tensor | None:
    return None if parameter is None else parameter.to(dtype)


def _stacked(parameters: list[nn.Parameter]) -> nn.Parameter:
    """One parameter of all rows, of which the given ones become views."""
    whole = torch.cat([parameter.data for parameter in parameters])
    for parameter, rows in zip(parameters, whole.split([len(p) for p in parameters]), strict=True):
        parameter.data = rows
    return nn.Parameter(whole, requires_grad=False)


def can_pack(bits: int | None = None) -> bool:
    """Whether this build of torch has the packed product: fp16 (x86 with fbgemm) or int8."""
    return can_int8() if bits == 8 else "fbgemm" in torch.backends.quantized.supported_engines
