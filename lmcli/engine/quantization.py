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

    Rounding x to 8 bits costs more accuracy than rounding the weights does, for a few of its channels are far larger
    than the others (Dettmers et al. 2022, arXiv:2208.07339). So a row goes in as two: rounded, and what that leaves,
    254 times as large. That is 16 bits for 17 µs a product, since decode waits for the weights, not for arithmetic.
    """

    def __init__(self, values: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        zeros = torch.zeros(len(values), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # That quantized tensors will go; the products have no other input yet.
            quantized = torch._make_per_channel_quantized_tensor(values, scale.double(), zeros, 0)
        self.packed: Any = torch.ops.quantized.linear_prepack(quantized, None)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        step = x.abs().amax(1, keepdim=True).mul_(1 / 127).clamp_(min=torch.finfo(torch.float32).tiny)
        fine = x / step
        coarse = fine.round()
        rows = torch.cat((coarse, fine.sub_(coarse).mul_(254)))  # both of -127 to 127, so 1 is the kernel's step
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(rows, 1.0, 128, self.packed)
        coarse, fine = product.chunk(2)
        y: Tensor = coarse.add_(fine, alpha=1 / 254).mul_(step)
        return y if self.bias is None else y + self.bias


def can_int8() -> bool:
    """Whether this build of torch has the int8 product (x86)."""
    return "x86" in torch.backends.quantized.supported_engines
