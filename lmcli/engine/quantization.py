"""Weights in 8 or 4 bits: how they are rounded, and products with int8 weights on a CPU."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values (N, K) and fp32 scales (N,) of a weight (N, K): one scale a row, zero at zero."""
    scale = weight.abs().amax(1).float().clamp_(min=torch.finfo(torch.float32).tiny) / 127
    return (weight / scale.unsqueeze(1)).round_().to(torch.int8), scale


class Int8Product(nn.Module):
    """x (T, K) times the transpose of int8 values (N, K) with scales (N,), plus a bias (N,) or none: fp32 (T, N).

    The kernel rounds x to 8 bits by its extremes. Where x has outliers (Dettmers et al. 2022, arXiv:2208.07339) that
    costs more accuracy than the weights' rounding does. With `outliers` x goes in as two rows, itself and 256 times
    what its rounding leaves: 16 bits for twice the time of a small product.
    """

    def __init__(self, values: Tensor, scale: Tensor, bias: Tensor | None, outliers: bool) -> None:
        super().__init__()
        self.outliers = outliers
        zeros = torch.zeros(len(values), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # That quantized tensors will go; the products have no other input yet.
            quantized = torch._make_per_channel_quantized_tensor(values, scale.double(), zeros, 0)
        self.packed: Any = torch.ops.quantized.linear_prepack(quantized, None)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.outliers:
            y: Tensor = torch.ops.quantized.linear_dynamic(x, self.packed, False)
            return y if self.bias is None else y + self.bias
        # The two rows share one scale, the first's: the rest is at most 1/512 of the range, so it never widens it.
        rounded = torch.quantize_per_tensor_dynamic(x, torch.quint8, False).dequantize()
        rows = torch.cat((x, torch.sub(x, rounded).mul_(_FINER)))
        coarse, fine = torch.ops.quantized.linear_dynamic(rows, self.packed, False).chunk(2)
        y = torch.add(coarse, fine, alpha=1 / _FINER)
        return y if self.bias is None else y + self.bias


_FINER = 256.0


def can_int8() -> bool:
    """Whether this build of torch has the int8 product (x86)."""
    return "x86" in torch.backends.quantized.supported_engines
