"""Products with int8 weights on a CPU, a scale a row: of a few rows closely, of batches fast."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lmcli.engine.quantization import quantize_rows


class Int8Product(nn.Module):
    """x (T, K) times the transpose of int8 values (N, K) with scales (N,), plus a bias (N,) or none: fp32 (T, N).

    Rounding x to 8 bits costs more accuracy than rounding the weights does, for a few of its channels are far larger
    than the others (Dettmers et al. 2022, arXiv:2208.07339). So a row goes in as two: rounded, and what that leaves,
    254 times as large. That is 16 bits for 17 µs a product, since decode waits for the weights, not for arithmetic.
    """

    def __init__(self, values: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.packed: Any = torch.ops.quantized.linear_prepack(_quantized(values, scale), None)
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


class Int8Linear:
    """A linear layer of an int8 copy of `weight` (N, K), symmetric a row; x (R, K) and the result (R, N) in fp32.

    x is rounded to one scale a call.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        with _packing_for_batches():
            quantized = _quantized(*quantize_rows(weight.float()))
            self._packed = torch.ops.quantized.linear_prepack(quantized, None if bias is None else bias.float())

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.quantized.linear_dynamic.default(x, self._packed, False)
        return y


def can_int8() -> bool:
    """Whether this build of torch has the int8 products (x86)."""
    return "x86" in torch.backends.quantized.supported_engines


def _quantized(values: Tensor, scale: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That quantized tensors will go; the products have no other input yet.
        zeros = torch.zeros(len(values), dtype=torch.long)
        return torch._make_per_channel_quantized_tensor(values, scale.double(), zeros, 0)


@contextmanager
def _packing_for_batches() -> Iterator[None]:
    """oneDNN's layout where the processor has int8 dot products: with many rows it is up to twice as fast."""
    former = torch.backends.quantized.engine
    onednn = "onednn" in torch.backends.quantized.supported_engines and torch.cpu._is_vnni_supported()
    torch.backends.quantized.engine = "onednn" if onednn else "x86"
    try:
        yield
    finally:
        torch.backends.quantized.engine = former
