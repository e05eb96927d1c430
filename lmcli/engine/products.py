"""Products of many rows with a layer's weights: as they are, in oneDNN's blocked layout, or in int8."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from lmcli.engine.int8 import Int8Linear
from lmcli.engine.linear import Linear, empty, prefill_dtype

# What config.json calls an activation.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_python": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "tanh": torch.tanh,
}
# Those that oneDNN computes on the way, while the rows are in the cache. (Its tanh form of GELU is slow.)
_ON_THE_WAY = {"gelu": "gelu", "gelu_python": "gelu", "relu": "relu"}


class Product:
    """activation(x · weights + biases) of Linear parts that share an x (T, K): (T, ΣN) in the weights' precision."""

    def __init__(self, *parts: Linear, activation: str | None = None) -> None:
        self._parts = parts
        self._activation = activation
        self._compute: Callable[[Tensor], Tensor] = self._plain
        self._weight = self._bias = torch.empty(0)

    def prepare(self, dtype: torch.dtype, device: torch.device, bits: int | None = None) -> None:
        """Lay the parts' weights side by side in `dtype`, or in `bits` (8), and give up the mapped ones."""
        in_int8 = bits == 8 and device.type == "cpu"
        dtype = torch.float32 if in_int8 else dtype
        self._weight = _stacked([part.weight.to(device, dtype) for part in self._parts])
        self._bias = _stacked([part.bias.to(device, dtype) for part in self._parts if part.bias is not None])
        for part in self._parts:
            part.weight, part.bias = empty(0), None
        if in_int8:
            product, self._weight = Int8Linear(self._weight, self._bias), torch.empty(0)
            self._compute = lambda x: self._activated(product(x.float()))
        elif device.type == "cpu" and dtype is torch.bfloat16 and _can_block():
            self._compute = self._blocked()

    def __call__(self, x: Tensor) -> Tensor:
        return self._compute(x)

    def _plain(self, x: Tensor) -> Tensor:
        return self._activated(F.linear(x.to(self._weight.dtype), self._weight, self._bias))

    def _activated(self, y: Tensor) -> Tensor:
        return y if self._activation is None else ACTIVATIONS[self._activation](y)

    def _blocked(self) -> Callable[[Tensor], Tensor]:
        """The weights in the layout that oneDNN would bring them to in every call."""
        weight, self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, 1024), torch.empty(0)
        fused = _ON_THE_WAY.get(self._activation or "")

        def compute(x: Tensor) -> Tensor:
            y: Tensor = torch.ops.mkldnn._linear_pointwise(
                x.to(torch.bfloat16), weight, self._bias, fused or "none", [], "none"
            )
            return y if fused else self._activated(y)

        return compute


def _stacked(tensors: list[Tensor]) -> Tensor:
    """All their rows; those of a single one stay where they are."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _can_block() -> bool:
    return prefill_dtype() is torch.bfloat16 and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
