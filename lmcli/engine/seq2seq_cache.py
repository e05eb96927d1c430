"""The KV cache of an encoder-decoder's batch: the sources' keys and values, and those of the tokens written so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

_BLOCK = 32  # tokens; the cache grows in doublings of this


class LayerSlot(NamedTuple):
    """One layer's share of a step: where its new keys and values go, and all of them including these."""

    new: Tensor  # (B, W, 2, H, D)
    all: Tensor  # (B, S · W, 2, H, D)


@dataclass(frozen=True)
class SourceKeys:
    """Keys and values of the sources for each layer (B, T, 2, H, D), and what hides their padding (B, 1, 1, T)."""

    layers: list[Tensor]
    mask: Tensor

    def keep(self, rows: Tensor) -> SourceKeys:
        """Those of some sources only."""
        return SourceKeys([keys[rows] for keys in self.layers], self.mask[rows])


class Seq2SeqCache:
    """Keys and values of every token that the W beams of B sources have written, beam beside beam.

    A beam that follows another one does not take over its keys: `step`'s mask lets it look at them where they are.
    """

    def __init__(self, num_layers: int, rows: tuple[int, int], heads: tuple[int, int], like: Tensor) -> None:
        self.length = 0
        self._keys = like.new_empty((num_layers, rows[0], 0, rows[1], 2, *heads))  # (L, B, S, W, 2, H, D)

    def reserve(self) -> list[LayerSlot]:
        """A slot a layer for one more token; `length` itself is the caller's to move when it is in."""
        end = self.length + 1
        if end > self._keys.shape[2]:
            self._grow(max(_BLOCK, 2 * self._keys.shape[2]))
        new, seen = self._keys[:, :, self.length].unbind(0), self._keys[:, :, :end].flatten(2, 3).unbind(0)
        return [LayerSlot(*slot) for slot in zip(new, seen, strict=True)]

    def keep(self, rows: Tensor) -> None:
        """Forget the sources that are not among `rows`."""
        kept = self._keys.new_empty((len(self._keys), len(rows), *self._keys.shape[2:]))
        kept[:, :, : self.length] = self._keys[:, rows, : self.length]
        self._keys = kept

    def _grow(self, capacity: int) -> None:
        L, B, _, *rest = self._keys.shape
        grown = self._keys.new_empty((L, B, capacity, *rest))
        grown[:, :, : self.length] = self._keys[:, :, : self.length]
        self._keys = grown


class BeamMask:
    """Which of the keys of a source's W beams are each beam's own: (B, W, S · W), -inf over the others'."""

    def __init__(self, B: int, W: int, device: torch.device) -> None:
        self._own = torch.zeros((B, W, 0), device=device)
        self._next = torch.full((W, W), -torch.inf, device=device).fill_diagonal_(0).expand(B, -1, -1)

    def token(self) -> Tensor | None:
        """The mask (B, 1, W, S · W) for one more token of each beam; None where a single beam may see all."""
        if len(self._next[0]) == 1:
            return None
        self._own = torch.cat((self._own, self._next), -1)
        return self._own.unsqueeze(1)

    def follow(self, parents: Tensor) -> None:
        """Let beam w go on from what `parents` (B, W) says."""
        self._own = self._own.gather(1, parents.unsqueeze(-1).expand_as(self._own))

    def keep(self, rows: Tensor) -> None:
        """Forget the sources that are not among `rows`."""
        self._own, self._next = self._own[rows], self._next[: len(rows)]
