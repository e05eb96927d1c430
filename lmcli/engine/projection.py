"""Projections: linear layers that share an input as one product of many rows, in oneDNN's layout, in int8 or as they
are."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from lmcli.engine.int8 import Int8Linear, can_int8
from lmcli.engine.linear import Linear, empty, prefill_dtype

# What config.json calls an activation.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_python": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}


class Projection:
    """activation(x · weights + biases) of Linear parts (N, K) that share an x (R, K): (R, ΣN).

    `prepare` must come first: it gives the weights the layout they are computed in, and frees the former one.
    """

    def __init__(self, *parts: Linear, activation: str | None = None) -> None:
        self._parts, self._activation = parts, activation
        self._compute: Callable[[Tensor], Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        assert self._compute is not None
        return self._compute(x)

    def prepare(self, dtype: torch.dtype, device: torch.device, bits: int | None = None) -> None:
        """Make ready for products in `dtype`, or in int8 where `bits` is 8 and `device` a CPU that has them.

        What comes out has that dtype; with int8 it is fp32, and so must x be.
        """
        weight = _stacked([part.weight.to(device) for part in self._parts])
        biases = [part.bias.to(device) for part in self._parts if part.bias is not None]
        bias = _stacked(biases) if biases else None  # All parts have one or none has.
        if bits == 8 and device.type == "cpu" and can_int8():
            self._compute = self._activated(Int8Linear(weight, bias))
        elif dtype is torch.bfloat16 and device.type == "cpu" and _can_block():
            self._compute = _blocked(weight, bias, self._activation)
        else:
            self._compute = self._activated(_plain(weight.to(dtype), bias))
        for part in self._parts:
            part.weight, part.bias = empty(*part.weight.shape), None

    def _activated(self, product: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        if self._activation is None:
            return product
        activate = ACTIVATIONS[self._activation]
        return lambda x: activate(product(x))


def _stacked(tensors: list[Tensor]) -> Tensor:
    """All their rows; those of a single one stay where they are."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _plain(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    bias = None if bias is None else bias.to(weight.dtype)
    return lambda x: F.linear(x.to(weight.dtype), weight, bias)


def _can_block() -> bool:
    """Whether oneDNN computes in bf16 here, with a layout of its own that is known to be faster: x86 only."""
    return prefill_dtype() is torch.bfloat16 and platform.machine().lower() in ("x86_64", "amd64")


# What oneDNN calls an activation, and which form of it. It is computed while the rows lie in the processor's cache and
# are not yet rounded. That saves a tenth of the time at most, with GELU's tanh form two thirds.
_FUSED = {
    None: ("none", ""),
    "gelu": ("gelu", "none"),
    "gelu_python": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
    "silu": ("swish", ""),
    "swish": ("swish", ""),
    "tanh": ("tanh", ""),
}


def _blocked(weight: Tensor, bias: Tensor | None, activation: str | None) -> Callable[[Tensor], Tensor]:
    """The weights in bf16 in the layout that oneDNN would else bring them to in every call.

    It takes half to four fifths of the time with up to a hundred rows, two thirds to nine tenths with a thousand. To
    tell oneDNN how many there will be changes nothing.
    """
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(torch.bfloat16))
    bias = None if bias is None else bias.to(torch.bfloat16)
    name, form = _FUSED[activation]
    product = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: product(x.to(torch.bfloat16), packed, bias, name, [], form)
