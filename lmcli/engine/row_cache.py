"""The cache of sequences decoded side by side: each pass feeds one token to each of them.

Decode reads every weight once a pass, however many tokens it feeds: eight cost little more than one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lmcli.engine.device import integers
from lmcli.engine.kv_cache import Slots

_BLOCK = 128  # columns


class RowCache:
    """Keys and values of several sequences, a row each: `lengths` tokens in row after row, without gaps.

    Column 0 of a row is for the token of the next pass, 1 to its length hold the tokens before it. So one slice takes
    the new keys of all rows, however far each has come; the order of the keys means nothing to attention.
    """

    def __init__(self, rows: int, longest: int, like: Slots) -> None:
        """Room for `rows` sequences of `longest` tokens, in the shape and dtype of another cache's slots."""
        self.rows = rows
        self.lengths: list[int] = []
        L, _, KV, _, D = like.all_k.shape
        # On a CPU memory that is never written to is never taken: its pages come with the first write.
        self._k = like.all_k.new_empty(L, rows, KV, 1 + longest, D)
        self._v = torch.empty_like(self._k)
        self._cleared = 0

    def add(self, sequence: Slots) -> None:
        """A copy of `sequence` in a new last row."""
        row, length = len(self.lengths), sequence.all_k.shape[3]
        self._clear(1 + length)
        for ours, theirs in ((self._k, sequence.all_k), (self._v, sequence.all_v)):
            ours[:, row, :, 1 : 1 + length] = theirs[:, 0]
        self.lengths.append(length)

    def remove(self, row: int) -> None:
        """Give up a row; the last row moves into its place."""
        last = len(self.lengths) - 1
        if row != last:
            filled = slice(1, 1 + self.lengths[last])
            for held in (self._k, self._v):
                held[:, row, :, filled] = held[:, last, :, filled]
        self.lengths[row] = self.lengths[last]
        self.lengths.pop()

    def reserve(self) -> Slots:
        """Where the keys and values of one more token a row go, and all of them."""
        B, end = len(self.lengths), 1 + max(self.lengths)
        self._clear(end + 1)  # `keep` will write one further on.
        k, v = self._k[:, :B], self._v[:, :B]
        new_k, new_v = (held[:, :, :, 0].transpose(1, 2).unsqueeze(1) for held in (k, v))  # (L, 1, KV, B, D)
        return Slots(new_k, new_v, k[:, :, :, :end], v[:, :, :, :end])  # (L, B, KV, S, D)

    def keep(self) -> None:
        """After a pass: its tokens go behind those before them."""
        B, device = len(self.lengths), self._k.device
        rows, ends = torch.arange(B, device=device), integers(self.lengths, device) + 1
        for held in (self._k, self._v):
            held[:, rows, :, ends] = held[:, :B, :, 0].transpose(0, 1)
        self.lengths = [length + 1 for length in self.lengths]

    def _clear(self, end: int) -> None:
        """Zeros in new columns up to `end` and beyond: a NaN in fresh memory would come through a weight of nothing."""
        if end > self._cleared:
            for held in (self._k, self._v):
                held[:, :, :, self._cleared : end + _BLOCK] = 0
            self._cleared = end + _BLOCK


def row_masks(lengths: Sequence[int], windows: Sequence[int | None], like: Tensor) -> Tensor:
    """What to add to the attention scores of the tokens in column 0 of a RowCache: (W, B, 1, 1, S), one a window.

    0 where a row's token may look, -inf elsewhere, in the dtype and on the device of `like`.
    """
    column = torch.arange(1 + max(lengths), device=like.device)  # A token at position p stands in column p + 1.
    length = integers(lengths, like.device).unsqueeze(1)
    # The new token is at position `length`; the last `window` tokens, itself included, are those it may look back on.
    seen = [(column <= length) & (column > length + 1 - (window or 1 + max(lengths))) for window in windows]
    hidden = ~torch.stack(seen)  # (W, B, S)
    hidden[:, :, 0] = False
    masks = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(hidden, -torch.inf)
    return masks[:, :, None, None]
