"""Weights in 8 or 4 bits: how they are rounded, stored and read back, and products with 4 bits on a CPU.

They are stored as the compressed-tensors library does: int8 values (N, K) with a scale a row (`int-quantized`); or
eight values of 4 bits in each int32 (N, K/8), the first in the lowest bits and each 8 too large, with a scale (N, K/32)
for every 32 values of a row (`pack-quantized`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values (N, K) and fp32 scales (N,) of a weight (N, K): one scale a row, zero at zero."""
    scale = weight.abs().amax(1).float().clamp_(min=torch.finfo(torch.float32).tiny) / 127
    return (weight / scale.unsqueeze(1)).round_().to(torch.int8), scale


def quantize_groups(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Packed int32 (N, K/8) of 4 bits a value and scales (N, K/32), in the weight's dtype, of a weight (N, K).

    Each group takes the one of a few scales that leaves the least squared error: the widest value seldom deserves to be
    met exactly.
    """
    groups = weight.float().unflatten(1, (-1, GROUP))
    widest = groups.abs().amax(-1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny)
    best = torch.full_like(widest, torch.inf)
    scale = torch.empty_like(widest)
    for steps in _STEPS:
        # A scale that the dtype rounds to zero would divide by it.
        tried = (widest / steps).to(weight.dtype).float().clamp_(min=torch.finfo(weight.dtype).tiny)
        error = _rounded(groups, tried).mul_(tried).sub_(groups).square_().sum(-1, keepdim=True)
        scale = torch.where(error < best, tried, scale)
        best = torch.minimum(error, best)
    values = _rounded(groups, scale).add_(8).flatten(1).to(torch.uint8)
    packed = (values[:, ::2] | values[:, 1::2] << 4).view(torch.int32)
    return packed, scale.squeeze(-1).to(weight.dtype)


def unpack(packed: Tensor) -> Tensor:
    """The values 0 to 15, uint8 (N, K), in int32 (N, K/8)."""
    pairs = packed.contiguous().view(torch.uint8)
    return torch.stack((pairs & 15, pairs >> 4), -1).flatten(1)


def dequantize(stored: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight (N, K) in `dtype` of what is stored: int8 and scales (N, 1), or packed int32 and scales (N, K/g)."""
    if stored.dtype is torch.int8:
        return (stored * scale.float()).to(dtype)
    values = unpack(stored).to(dtype).sub_(8).unflatten(1, (scale.shape[1], -1))
    return values.mul_(scale.to(dtype).unsqueeze(-1)).flatten(1)


GROUP = 32
# The scale is the widest value over these. 7.5 would just hold it on both sides, 7 meets it, the others clip.
_STEPS = (7.0, 7.5, 8.0, 8.7)


def _rounded(groups: Tensor, scale: Tensor) -> Tensor:
    return (groups / scale).round_().clamp_(-8, 7)


class Int4Product(nn.Module):
    """x (T, K) times the transpose of packed int32 (N, K/8) with scales (N, K/g), plus a bias (N,) or none: fp32.

    N is a multiple of 16. x is rounded to bf16: with fp32 the kernel is 25 times slower.
    """

    def __init__(self, packed: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.group = packed.shape[1] * 8 // scale.shape[1]
        values = unpack(packed).to(torch.int32)
        self.packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)
        scales = scale.to(torch.bfloat16).t()
        self.scales = torch.stack((scales, torch.zeros_like(scales)), -1).contiguous()  # with their zero points
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.ops.aten._weight_int4pack_mm_for_cpu(x.to(torch.bfloat16), self.packed, self.group, self.scales)
        return y.float() if self.bias is None else y.float() + self.bias


def can_int4() -> bool:
    """Whether this build of torch has the int4 product."""
    return hasattr(torch.ops.aten, "_weight_int4pack_mm_for_cpu")
