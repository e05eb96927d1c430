"""Int8 products for a CPU: weights rounded to a scale a row, activations to one scale a call."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Int8Linear:
    """A linear layer of an int8 copy of `weight` (N, K), symmetric a row; x (R, K) and the result (R, N) in fp32."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        weight = weight.float()
        scales = weight.abs().amax(-1).clamp_(min=1e-12) / 127
        values = (weight / scales[:, None]).round_().to(torch.int8)
        with warnings.catch_warnings():
            # torch announces that quantized tensors will go; this is the only place that makes any.
            warnings.simplefilter("ignore")
            zeros = torch.zeros(len(scales), dtype=torch.long)
            quantized = torch._make_per_channel_quantized_tensor(values, scales.double(), zeros, 0)
        with _packing_for_batches():
            self._packed = torch.ops.quantized.linear_prepack(quantized, None if bias is None else bias.float())

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.quantized.linear_dynamic.default(x, self._packed, False)
        return y


def can_int8() -> bool:
    """Whether this build of torch has the int8 products (x86)."""
    return "x86" in torch.backends.quantized.supported_engines


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
