"""Projections of an encoder-decoder: linear layers that share an input as one product, laid out for many rows."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Literal, Union

import torch
from torch import Tensor
from torch.nn import functional as F

from lmcli.engine.int8 import Int8Linear
from lmcli.engine.linear import Linear, empty, prefill_dtype

Activation = Literal["none", "relu", "gelu", "gelu_new", "silu"]
Precision = Union[torch.dtype, Literal["int8"]]  # noqa: UP007 mypy, which skips torch, takes no `|` here


class Projection:
    """The concatenated outputs (R, ΣN) of several Linear (N, K) on one x (R, K), through an activation.

    `prepare` must come first: it gives the weights the layout they are computed in, and frees the former one.
    """

    def __init__(self, *parts: Linear, activation: Activation = "none") -> None:
        self._parts, self._activation = parts, activation
        self._product: Callable[[Tensor], Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        assert self._product is not None
        return self._product(x)

    def prepare(self, precision: Precision) -> None:
        """Make ready for products in `precision`, whatever the weights came in."""
        weight = torch.cat([part.weight for part in self._parts]) if len(self._parts) > 1 else self._parts[0].weight
        biases = [part.bias for part in self._parts if part.bias is not None]
        bias = torch.cat(biases).float() if biases else None
        if precision == "int8":
            self._product = _then(Int8Linear(weight, bias), self._activation)
        elif weight.device.type == "cpu" and precision == torch.bfloat16 and can_prepack():
            self._product = _prepacked(weight, bias, self._activation)
        else:
            assert isinstance(precision, torch.dtype)
            self._product = _then(_plain(weight.to(precision), bias), self._activation)
        for part in self._parts:
            part.weight, part.bias = empty(*part.weight.shape), None


def activate(x: Tensor, activation: Activation) -> Tensor:
    match activation:
        case "none":
            return x
        case "relu":
            return F.relu(x)
        case "silu":
            return F.silu(x)
    return F.gelu(x, approximate="none" if activation == "gelu" else "tanh")


def can_prepack() -> bool:
    """Whether oneDNN lays out weights here for its bf16 products: with tens of rows that makes them half as long."""
    return prefill_dtype() is torch.bfloat16 and platform.machine().lower() in ("x86_64", "amd64")


def _prepacked(weight: Tensor, bias: Tensor | None, activation: Activation) -> Callable[[Tensor], Tensor]:
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(torch.bfloat16))
    half = None if bias is None else bias.to(torch.bfloat16)
    name = {"silu": "swish", "gelu_new": "gelu"}.get(activation, activation)
    form = {"gelu": "none", "gelu_new": "tanh"}.get(activation, "")
    product = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: product(x.to(torch.bfloat16), packed, half, name, [], form)


def _plain(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    bias = None if bias is None else bias.to(weight.dtype)
    return lambda x: F.linear(x.to(weight.dtype), weight, bias)


def _then(product: Callable[[Tensor], Tensor], activation: Activation) -> Callable[[Tensor], Tensor]:
    return product if activation == "none" else lambda x: activate(product(x), activation)
