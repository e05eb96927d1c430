"""Packing: fp16 copies of a decoder's linear layers, made behind its first tokens and not before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from lmcli.engine.linear import Fused

# Projections packed with each decoded token, four a layer: a short answer never pays for all of them.
_PER_TOKEN = 24


class Packer:
    """Packs `projections` (the head first, by far the largest) a few at a time, at each call."""

    def __init__(self, projections: Sequence[Fused]) -> None:
        self._waiting = deque(projections)
        # One buffer for all: freed and allocated anew, the fp32 weights would leave holes between the packed ones,
        # as large as all of these together.
        self._scratch = torch.empty(0)

    def __bool__(self) -> bool:
        """Whether anything is left to pack."""
        return bool(self._waiting)

    @torch.inference_mode()
    def __call__(self) -> None:
        for _ in range(min(_PER_TOKEN, len(self._waiting))):
            projection = self._waiting[0]
            projection.pack(self._in_fp32(projection))
            self._waiting.popleft()
        if not self._waiting:
            self._scratch = torch.empty(0)

    def _in_fp32(self, projection: Fused) -> Tensor:
        """The projection's weights below one another (ΣN, K), until the next call."""
        weights = [part.weight for part in projection.parts]
        rows, size = sum(map(len, weights)), sum(weight.numel() for weight in weights)
        buffer = self._scratch
        if size > buffer.numel():
            buffer = torch.empty(size)
            # The head's buffer is not kept: it has the size of the vocabulary.
            self._scratch = buffer if len(weights) > 1 else self._scratch
        stacked = buffer[:size].view(rows, -1)
        for weight, part in zip(weights, stacked.split([len(weight) for weight in weights]), strict=True):
            part.copy_(weight)
        return stacked
