"""The KV cache: keys and values of every token seen, in one tensor each for all layers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_BLOCK = 256  # tokens; the cache grows in doublings of this


class Slots(NamedTuple):
    """A pass's share of the cache in all L layers: where its T new keys go and all S including them, likewise the
    values. One slice for all layers: a view a layer would cost four operations more in each."""

    new_k: Tensor  # (L, 1, KV, T, D)
    new_v: Tensor
    all_k: Tensor  # (L, 1, KV, S, D)
    all_v: Tensor


class KVCache:
    """Room for `length` tokens and growing; rewinding is forgetting the length."""

    def __init__(
        self, num_layers: int, num_kv_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.length = 0
        self._shape = (num_layers, 1, num_kv_heads, 0, head_dim)
        self._k = torch.empty(self._shape, dtype=dtype, device=device)
        self._v = torch.empty_like(self._k)

    @property
    def token_bytes(self) -> int:
        """Bytes a token takes, its keys and values in all layers."""
        L, _, KV, _, D = self._shape
        return 2 * L * KV * D * self._k.itemsize

    def reserve(self, T: int) -> Slots:
        """Room for T new tokens after `length`; `length` itself is the caller's to move when they are in."""
        start, end = self.length, self.length + T
        if end > self._k.shape[3]:
            self._grow(end)
        return Slots(
            self._k[:, :, :, start:end], self._v[:, :, :, start:end], self._k[:, :, :, :end], self._v[:, :, :, :end]
        )

    def held(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the tokens from `start` to `end`, views (L, 1, KV, end - start, D)."""
        return self._k[:, :, :, start:end], self._v[:, :, :, start:end]

    def extend(self, k: Tensor, v: Tensor) -> None:
        """Hold what `held` gave behind what is held. Raises ValueError for another shape."""
        T = k.shape[3] if k.dim() == 5 else 0
        if not k.shape == v.shape == (*self._shape[:3], T, self._shape[4]):
            raise ValueError(f"keys of shape {tuple(k.shape)} for a cache of {self._shape}")
        slots = self.reserve(T)
        slots.new_k.copy_(k)
        slots.new_v.copy_(v)
        self.length += T

    def _grow(self, needed: int) -> None:
        capacity = max(_BLOCK, self._k.shape[3])
        while capacity < needed:
            capacity *= 2
        # Both or none: Ctrl-C may come while the second is copied.
        grown = self._copied(self._k, capacity), self._copied(self._v, capacity)
        self._k, self._v = grown

    def _copied(self, old: Tensor, capacity: int) -> Tensor:
        new = torch.empty((*self._shape[:3], capacity, self._shape[4]), dtype=old.dtype, device=old.device)
        new[:, :, :, : self.length] = old[:, :, :, : self.length]
        return new
