"""The KV cache: keys and values of every token seen, in one tensor each for all layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_BLOCK = 256  # tokens; the cache grows in doublings of this
_STAGED = 16  # columns; the fused attention of a GPU wants the rows of its masks aligned to as many
_FIRST_BYTES = 2**28  # of a static cache: what runs at its addresses is lost when it grows


class Slots(NamedTuple):
    """A pass's share of the cache in all L layers: where its T new keys go and all S including them, likewise the
    values. One slice for all layers: a view a layer would cost four operations more in each."""

    new_k: Tensor  # (L, 1, KV, T, D)
    new_v: Tensor
    all_k: Tensor  # (L, 1, KV, S, D)
    all_v: Tensor


class KVCache:
    """Room for `length` tokens and growing; rewinding is forgetting the length."""

    _front = 0  # columns before the first token's

    def __init__(
        self, num_layers: int, num_kv_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.length = 0
        self._first = _BLOCK
        self._shape = (num_layers, 1, num_kv_heads, 0, head_dim)
        self._k = torch.empty(self._shape, dtype=dtype, device=device)
        self._v = torch.empty_like(self._k)

    @property
    def token_bytes(self) -> int:
        """Bytes a token takes, its keys and values in all layers."""
        L, _, KV, _, D = self._shape
        return 2 * L * KV * D * self._k.itemsize

    @property
    def capacity(self) -> int:
        """Tokens there is room for before the cache must grow."""
        return max(self._k.shape[3] - self._front, 0)

    def reserve(self, T: int) -> Slots:
        """Room for T new tokens after `length`; `length` itself is the caller's to move when they are in."""
        if self.length + T > self.capacity:
            self._grow(self.length + T)
        return Slots(*self.held(self.length, self.length + T), *self.held(0, self.length + T))

    def held(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the tokens from `start` to `end`, views (L, 1, KV, end - start, D)."""
        columns = slice(self._front + start, self._front + end)
        return self._k[:, :, :, columns], self._v[:, :, :, columns]

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
        capacity = max(self._first, self.capacity)
        while capacity < needed:
            capacity *= 2
        # Both or none: Ctrl-C may come while the second is copied.
        grown = self._copied(self._k, capacity), self._copied(self._v, capacity)
        self._k, self._v = grown

    def _copied(self, old: Tensor, capacity: int) -> Tensor:
        new = self._room(old, self._front + capacity)
        held = slice(self._front, self._front + self.length)
        new[:, :, :, held] = old[:, :, :, held]
        return new

    def _room(self, like: Tensor, columns: int) -> Tensor:
        return like.new_empty((*self._shape[:3], columns, self._shape[4]))


class StaticKVCache(KVCache):
    """A KVCache in which a pass over a few tokens may always work at the same addresses, however long the text is.

    Such a pass puts its keys into columns in front of all others, attends to these and to a fixed number of columns
    behind them, masked by position, and then copies them to their places.
    """

    _front = _STAGED

    def __init__(
        self, num_layers: int, num_kv_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device, longest: int
    ) -> None:
        """It begins with room for `longest` tokens where that is not much memory."""
        super().__init__(num_layers, num_kv_heads, head_dim, dtype, device)
        self._first = max(_BLOCK, whole_capacity(1 + min(longest, _FIRST_BYTES // self.token_bytes)) // 2)

    @property
    def keys(self) -> Tensor:
        """The memory itself: another tensor once the cache has grown."""
        return self._k

    def stage(self, T: int, capacity: int) -> Slots:
        """Slots of T new tokens in front, and of the first `capacity` tokens there is room for."""
        whole = slice(self._front + capacity)
        return Slots(self._k[:, :, :, :T], self._v[:, :, :, :T], self._k[:, :, :, whole], self._v[:, :, :, whole])

    def settle(self, slots: Slots, positions: Tensor) -> None:
        """After the pass: its keys and values go to their `positions` (T,)."""
        self._k[:, :, :, self._front :].index_copy_(3, positions, slots.new_k)
        self._v[:, :, :, self._front :].index_copy_(3, positions, slots.new_v)

    def _room(self, like: Tensor, columns: int) -> Tensor:
        # A NaN in fresh memory would come through a weight of nothing.
        return like.new_zeros((*self._shape[:3], columns, self._shape[4]))


def whole_capacity(tokens: int) -> int:
    """The capacity that holds `tokens`: a doubling of the block."""
    return _BLOCK << ((tokens - 1) // _BLOCK).bit_length()


def staged_masks(length: Tensor, T: int, capacity: int, windows: Sequence[int | None], dtype: torch.dtype) -> Tensor:
    """Who sees whom where `length` (1,) tokens stand before T staged ones: masks for families.llama.Decoder.forward.

    Of several tokens (W, T, S) booleans, of a lone one (W, 1, 1, 1, S) to be added to its scores in `dtype`; S is the
    staged columns and `capacity`.
    """
    device = length.device
    held = torch.arange(capacity, device=device)
    # A column that holds no token is put behind all of them.
    key = torch.cat((length + torch.arange(_STAGED, device=device), torch.where(held < length, held, length + _STAGED)))
    query = (length + torch.arange(T, device=device)).unsqueeze(1)
    seen = torch.stack(
        [(key <= query) if window is None else (key <= query) & (key > query - window) for window in windows]
    )
    if T > 1:
        return seen
    masks = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill_(~seen, -torch.inf)
    return masks[:, None, None]
