"""Linear layers that share an input, run as one; packed in fp16 where one row at a time is decoded on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# From 16 rows on, bf16 arithmetic overtakes the packed product (measured on AVX-512 with bf16).
PACKED_ROWS = 8


class Fused:
    """The concatenated outputs (T, ΣN) of several nn.Linear (N, K) on one x (T, K)."""

    def __init__(self, *parts: nn.Linear) -> None:
        self.parts = parts
        self._packed: Any = None

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed is not None and x.shape[0] <= PACKED_ROWS:
            return torch.ops.quantized.linear_dynamic_fp16.default(x, self._packed)
        x = x.to(self.parts[0].weight.dtype)
        outputs = [F.linear(x, part.weight, part.bias) for part in self.parts]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)

    def fuse(self) -> None:
        """Lay the parts' weights side by side in memory, so that one product does for all of them.

        The parts become views, so the memory is held once.
        """
        if len(self.parts) == 1:
            return
        weight = torch.cat([part.weight.data for part in self.parts])
        bias = torch.cat([part.bias.data for part in self.parts]) if self.parts[0].bias is not None else None
        first = 0
        for part in self.parts:
            last = first + part.weight.shape[0]
            part.weight.data = weight[first:last]
            if bias is not None:
                part.bias.data = bias[first:last]
            first = last
        whole = nn.Linear(1, 1, bias=bias is not None, device="meta")
        whole.weight = nn.Parameter(weight, requires_grad=False)
        whole.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.parts = (whole,)

    def pack(self, weight: Tensor) -> None:
        """Keep `weight`, all parts' in fp32 (ΣN, K), in fp16 in fbgemm's layout.

        Decode reads every weight once per token, and this op reads at 24-34 GB/s where F.linear with one row reaches
        12-16.
        """
        if weight.abs().max() > torch.finfo(torch.float16).max:
            return  # This layer stays as it is: fp16 could not hold it.
        bias = torch.cat([part.bias.float() for part in self.parts]) if self.parts[0].bias is not None else None
        self._packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)


def can_pack() -> bool:
    """Whether this build of torch has the packed fp16 product (x86 with fbgemm)."""
    return "fbgemm" in torch.backends.quantized.supported_engines
