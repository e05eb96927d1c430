"""Linear layers that share an input, run as one; packed in fp16 where one row at a time is decoded on a CPU."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        self.packed: Any = None

    def forward(self, x: Tensor) -> Tensor:
        if self.packed is not None and x.shape[0] <= PACKED_ROWS:
            return torch.ops.quantized.linear_dynamic_fp16(x, self.packed)
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

    def pack(self, weight: Tensor) -> None:
        """Keep `weight`, all parts' in fp32 (ΣN, K), in fp16 in fbgemm's layout.

        Decode reads every weight once per token, and this op reads at 24-34 GB/s where F.linear with one row reaches
        12-16.
        """
        low, high = torch.aminmax(weight)
        if max(-low, high) > torch.finfo(torch.float16).max:
            return  # This layer stays as it is: fp16 could not hold it.
        biases = self._biases()
        bias = torch.cat(biases).float() if biases else None
        self.packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)

    def _biases(self) -> list[nn.Parameter]:
        """The parts' biases: all have one or none has."""
        return [part.bias for part in self.parts if part.bias is not None]


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


def can_pack() -> bool:
    """Whether this build of torch has the packed fp16 product (x86 with fbgemm)."""
    return "fbgemm" in torch.backends.quantized.supported_engines
