"""Packing: fp16, int8 or int4 copies of a decoder's linear layers, made behind its first tokens and not before them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from lmcli.engine.linear import Fused

# A copy costs as much time as some 60 tokens save by it. So a short answer makes none, and a long one a few (there are
# four projections a layer) with each token.
_FIRST_TOKENS = 16
_PER_TOKEN = 8


class Packer:
    """Packs `projections` (the head first, by far the largest) a few at a time, or all at once in another thread."""

    def __init__(self, projections: Sequence[Fused], bits: int | None = None) -> None:
        self._waiting = deque(projections)
        self._bits = bits
        # To dequantize a layer for a single token takes as long as to pack it for all.
        self._at_once = any(projection.quantized for projection in projections)
        self._lock = threading.Lock()
        self._tokens = 0
        # One buffer for all: freed and allocated anew, the fp32 weights would leave holes between the packed ones,
        # as large as all of these together.
        self._scratch = torch.empty(0)

    def token(self) -> bool:
        """Before each token that is decoded: do its share. Whether all is packed, and the answer no short one."""
        self._tokens += 1
        if self._at_once:
            self.all()
        if self._tokens <= _FIRST_TOKENS:
            return False
        for _ in range(min(_PER_TOKEN, len(self._waiting))):
            self._next()
        return not self._waiting

    def all(self) -> None:
        """Pack what is left."""
        while self._waiting:
            self._next()

    @torch.inference_mode()
    def _next(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            projection = self._waiting[0]
            if projection.quantized:
                projection.pack_quantized()
            else:
                projection.pack(self._in_fp32(projection), self._bits)
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
