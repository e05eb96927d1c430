"""Captured passes: on a GPU, a decoder's pass over a few tokens as one CUDA graph.

A token of an 8B decoder takes some 900 kernels, most of them shorter than the 5 µs it takes to launch one from Python:
decode would wait for launches, not for memory. A graph launches all of them at once, but always with the same shapes
and addresses. So the pass reads its tokens and their position from a tensor, attends to a fixed number of columns of a
StaticKVCache, and masks those that hold nothing yet. There is a graph for each doubling of that number, so that a
short text does not pay for a long one's; and of each there are two: for one token, and for the eight that lookup
checks at most. Fewer than eight are padded: a pass that waits for the weights takes the same time for either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcli.engine.device import outgoing
from lmcli.engine.families.llama import Decoder
from lmcli.engine.kv_cache import StaticKVCache, staged_masks, whole_capacity
from lmcli.engine.rope import Rope
from lmcli.types import Event, Notice

ROWS = 8  # tokens of a padded pass
# Tokens. The attention that takes masks does not divide the keys of a head among processors; over longer texts the one
# without masks, launched from Python, is reckoned to be faster. (No GPU has measured this yet.)
_LONGEST = 8192
_WARM_UPS = 3  # In the first passes libraries choose kernels and take memory, which no graph may hold.


@dataclass(frozen=True)
class StaticPass:
    """The pass over `T` tokens behind those in the cache, at the same addresses each time.

    `inputs` (1 + T,) are how many tokens the cache holds, and the new ones; `tables` those of a Rope.
    """

    decoder: Decoder
    cache: StaticKVCache
    tables: tuple[Tensor, Tensor]
    inputs: Tensor
    capacity: int

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        """fp32 logits (T, V)."""
        length, tokens = self.inputs.split((1, len(self.inputs) - 1))
        T = len(tokens)
        slots = self.cache.stage(T, self.capacity)
        masks = staged_masks(length, T, self.capacity, self.decoder.windows, slots.all_k.dtype)
        positions = length + torch.arange(T, device=length.device)
        cos, sin = (table.index_select(1, positions) for table in self.tables)
        logits = self.decoder(tokens, (cos, sin), slots, masks)
        self.cache.settle(slots, positions)
        return logits


class Captured:
    """`decoder`'s passes over few tokens behind those in `cache`, captured as they are first needed."""

    def __init__(
        self, decoder: Decoder, cache: StaticKVCache, rope: Rope, report: Callable[[Event], None] = lambda event: None
    ) -> None:
        """`report` is told where there can be no graphs."""
        self._decoder, self._cache, self._rope, self._report = decoder, cache, rope, report
        self._graphs: dict[tuple[int, int], tuple[Tensor, Callable[[], Tensor]]] = {}
        self._addresses: tuple[Tensor, ...] = ()
        self._failed = False

    @torch.inference_mode()
    def __call__(self, tokens: Sequence[int]) -> Tensor | None:
        """fp32 logits (T, V) of `tokens`; the cache's `length` is the caller's to move.

        None where no graph is for this pass: nothing was done then, and the decoder is to be run as it is.
        """
        T = len(tokens)
        if self._failed or T > ROWS:
            return None
        self._cache.reserve(T)
        tables = self._rope.whole(self._cache.length + T, self._cache.capacity)
        self._forget_unless((self._cache.keys, *tables))
        shape = self._shape(T)
        if shape is None:
            return None
        values = outgoing([self._cache.length, *tokens, *[0] * (shape[0] - T)], self._cache.keys.device)
        try:
            inputs, graph = self._graph(shape, tables, values)
        except RuntimeError as error:  # Of any kind: an operation that cannot be captured, or too little memory.
            self._give_up(error)
            return None
        inputs.copy_(values, non_blocking=True)
        # The next pass writes into the same memory.
        return graph()[:T].clone()

    def _shape(self, T: int) -> tuple[int, int] | None:
        """Tokens and columns of the graph for T tokens."""
        rows = 1 if T == 1 else ROWS
        capacity = whole_capacity(self._cache.length + rows)
        return (rows, capacity) if capacity <= min(self._cache.capacity, _LONGEST) else None

    def _forget_unless(self, addresses: tuple[Tensor, ...]) -> None:
        """The graphs are of no use once what they work on lies elsewhere."""
        if len(self._addresses) != 3 or any(a is not b for a, b in zip(addresses, self._addresses, strict=True)):
            self._graphs, self._addresses = {}, addresses

    def _graph(
        self, shape: tuple[int, int], tables: tuple[Tensor, Tensor], first: Tensor
    ) -> tuple[Tensor, Callable[[], Tensor]]:
        """The graph for `shape` and its inputs; `first` are those it is captured with."""
        if shape not in self._graphs:
            inputs = first.to(self._cache.keys.device, copy=True)
            run = StaticPass(self._decoder, self._cache, tables, inputs, capacity=shape[1])
            self._graphs[shape] = inputs, capture(run, inputs.device)
        return self._graphs[shape]

    def _give_up(self, error: RuntimeError) -> None:
        self._failed = True
        self._graphs, self._addresses = {}, ()
        reason = str(error).strip().partition("\n")[0]
        self._report(Notice(f"decoding without CUDA graphs: {reason}", verbose=True))


def capture(run: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    """What does the same as `run`, always into the tensor that it returns.

    `run` may be done again and again without harm. Raises RuntimeError where it cannot be captured.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(device)
    with torch.cuda.device(device):
        current = torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                run()
        current.wait_stream(stream)
        try:
            # Other threads (one that loads, say) may use the GPU meanwhile.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                logits = run()
        finally:
            torch.cuda.set_stream(current)  # A capture that fails leaves its own behind.

    def replay() -> Tensor:
        graph.replay()
        return logits

    return replay
