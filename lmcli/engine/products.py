"""Products of many rows with a layer's weights: as they are, in oneDNN's blocked layout, or in int8."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lmcli.engine.linear import Linear

# What config.json calls an activation; oneDNN computes the first on the way, while the rows are in the cache.
ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_python": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "tanh": torch.tanh,
}


class Product:
    """activation(x · [weights] + [biases]) of Linear parts that share an x (T, K): (T, ΣN) in the weights' precision."""

    def __init__(self, *parts: Linear, activation: str | None = None) -> None:
        self._parts = parts
        self._activation = activation
        self._weight: Any = None
        self._bias: Tensor | None = None

    def prepare(self, dtype: torch.dtype, device: torch.device) -> None:
        """Lay the parts' weights side by side in `dtype` and give up the mapped ones."""
        weight = torch.cat([part.weight for part in self._parts]).to(device, dtype)
        self._bias = torch.cat([part.bias for part in self._parts if part.bias is not None]).to(device, dtype)
        self._weight = weight
        self._parts = ()

    def __call__(self, x: Tensor) -> Tensor:
        y = F.linear(x.to(self._weight.dtype), self._weight, self._bias)
        return y if self._activation is None else ACTIVATIONS[self._activation](y)
