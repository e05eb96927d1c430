"""Linear layers that share an input, run as one; packed in fp16, int8 or int4 where few rows are decoded on a CPU."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmcli.engine.int8 import Int8Product, can_int8
from lmcli.engine.quantization import Int4Product, can_int4, dequantize, quantize_rows

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
        self.weight_scale: nn.Parameter | None = None  # of a weight that is stored in 8 or 4 bits, see quantization
        self.dtype: torch.dtype | None = None  # what such a weight is multiplied in

    def await_quantized(self, weight: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        """Take the form of `weight` and `scale`, which will be assigned, and multiply in `dtype`.

        Raises ValueError for a form that is none of this layer's.
        """
        N, K = self.weight.shape
        packed = weight.dtype is torch.int32
        if weight.shape != (N, K // 8 if packed else K) or scale.shape[0] != N or K % scale.shape[1]:
            raise ValueError(f"{(N, K)} stored as {tuple(weight.shape)} with scales {tuple(scale.shape)}")
        self.weight, self.weight_scale = empty(*weight.shape), empty(*scale.shape)
        self.dtype = dtype

    def product(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """x (T, K) times the weight's transpose, in `dtype`."""
        x, bias = x.to(dtype), _as(self.bias, dtype)
        if self.weight_scale is None:
            return F.linear(x, self.weight.to(dtype), bias)
        if self.weight.dtype is not torch.int8:
            return F.linear(x, dequantize(self.weight, self.weight_scale, dtype), bias)
        # The values are exact in bf16; times their scale they would be rounded.
        y = F.linear(x, self.weight.to(dtype)) * self.weight_scale.squeeze(1).float()
        return y if bias is None else y + bias


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
        dtype = self.parts[0].dtype or self.parts[0].weight.dtype
        if dtype is torch.float16 and x.device.type == "cpu" and (x.shape[0] > PACKED_ROWS or self.quantized):
            # fp16 arithmetic is ten times slower than bf16's or fp32's on a CPU: convert the weights on the way. And
            # int8 values without their scale may sum to more than it holds.
            dtype = prefill_dtype()
        outputs = [part.product(x, dtype) for part in self.parts]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)

    @property
    def quantized(self) -> bool:
        return self.parts[0].weight_scale is not None

    @property
    def recordable(self) -> bool:
        """A graph cannot hold the step from packed int32 to bytes."""
        return self.packed is not None or all(part.weight.dtype is not torch.int32 for part in self.parts)

    def fuse(self) -> None:
        """Lay the parts' weights side by side in memory, so that one product does for all of them.

        The parts become views, so the memory is held once.
        """
        if len(self.parts) == 1 or self.quantized:
            return
        whole = Linear(1, 1)
        whole.weight = _stacked([part.weight for part in self.parts])
        biases = self._biases()
        whole.bias = _stacked(biases) if biases else None
        self.parts = (whole,)

    def pack(self, weight: Tensor, bits: int | None) -> None:
        """Keep a copy of `weight`, all parts' in fp32 (ΣN, K), for few rows: in fp16, or int8 where `bits` is 8.

        What is left as it is where `bits` is 4, the head, is no worse in int8 and takes half the time.
        """
        bias = self._bias()
        if bits in (8, 4) and can_int8():
            self.packed = Int8Product(*quantize_rows(weight), bias)
        elif can_pack() and _widest(weight) <= torch.finfo(torch.float16).max:
            # Else it stays as it is: fp16 could not hold it.
            self.packed = HalfProduct(weight, bias)

    def pack_quantized(self) -> None:
        """Lay out the parts' own 8 or 4 bits for few rows; the numbers stay what they are."""
        scales = [part.weight_scale for part in self.parts if part.weight_scale is not None]
        weight, scale = torch.cat([part.weight for part in self.parts]), torch.cat(scales)
        if weight.dtype is torch.int8:
            self.packed = Int8Product(weight, scale.squeeze(1).float(), self._bias())
        elif len(weight) % 16 == 0:
            self.packed = Int4Product(weight, scale, self._bias())

    def _bias(self) -> Tensor | None:
        biases = self._biases()
        return torch.cat(biases).float() if biases else None

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


def _widest(weight: Tensor) -> Tensor:
    """The largest of the absolute values, NaN where one is; abs() would copy a whole vocabulary for it."""
    low, high = weight.aminmax()
    return torch.maximum(-low, high)


def _as(parameter: nn.Parameter | None, dtype: torch.dtype) -> Tensor | None:
    return None if parameter is None else parameter.to(dtype)


def _stacked(parameters: list[nn.Parameter]) -> nn.Parameter:
    """One parameter of all rows, of which the given ones become views."""
    whole = torch.cat([parameter.data for parameter in parameters])
    for parameter, rows in zip(parameters, whole.split([len(p) for p in parameters]), strict=True):
        parameter.data = rows
    return nn.Parameter(whole, requires_grad=False)


def can_pack(bits: int | None = None) -> bool:
    """Whether this build of torch has the packed product: fp16 (x86 with fbgemm), int8 or int4."""
    if bits is None:
        return "fbgemm" in torch.backends.quantized.supported_engines
    return can_int8() if bits == 8 else can_int4()
