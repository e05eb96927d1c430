"""Recorded passes: a decoder's pass over a few tokens as a graph of operations, run without Python between them.

A token of SmolLM2 takes some 750 operations and 121 products with packed weights. Called from Python each operation
costs 2 to 5 µs beyond its work, and each packed product 20 µs, in which the packed weight is unwrapped from its Python
object; in a graph they cost under 1 µs. That is a third of the step.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import torch
from torch import Tensor

from lmcli.engine.families.llama import Decoder
from lmcli.engine.kv_cache import Slots
from lmcli.engine.linear import PACKED_ROWS


class Recorded:
    """`decoder`, run from graphs once `record` has been called: one for each way of going through it."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._graphs: dict[tuple[Any, ...], Any] = {}
        self._recording = False

    def record(self) -> None:
        """From the next pass on; each graph takes as long to record as some ten tokens.

        The graphs hold the weights as they are now, packed ones included.
        """
        projections = self._decoder.projections()
        recordable = self._decoder.recordable and all(projection.recordable for projection in projections)
        # torch no longer supports recording from Python 3.14 on; the decoder itself does the same, slower.
        self._recording = recordable and sys.version_info < (3, 14)

    def __call__(
        self, tokens: Tensor, rotation: tuple[Tensor, Tensor], slots: Slots, masks: Tensor | None = None
    ) -> Tensor:
        """See families.llama.Decoder.forward; logits of all the tokens."""
        inputs = (tokens, rotation, slots) if masks is None else (tokens, rotation, slots, masks)
        if not self._recording:
            logits: Tensor = self._decoder(*inputs)
            return logits
        # A lone token, several of one sequence and a token a row go ways of their own; so do masks of another kind and
        # more tokens than are packed.
        T, rows = len(tokens), slots.all_k.shape[1]
        way = (None if masks is None else masks.dtype, T == 1, rows == T, T <= PACKED_ROWS)
        if way not in self._graphs:
            self._graphs[way] = _record(self._decoder, inputs)
        # What the graph optimizer gains on a graph of this size is less than the half second it takes.
        with torch.jit.optimized_execution(False):
            recorded: Tensor = self._graphs[way](*inputs)
        return recorded


def _record(decoder: Decoder, inputs: tuple[Any, ...]) -> Any:
    with warnings.catch_warnings():
        # That torch.jit will not be developed further; and that choices by shape are fixed, as they are meant to be.
        warnings.simplefilter("ignore")
        return torch.jit.trace(decoder, inputs, check_trace=False)
