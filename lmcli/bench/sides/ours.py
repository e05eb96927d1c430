"""lmcli itself: the engine that every command loads, ready for long answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import lmcli
from lmcli import engine
from lmcli.bench.sides import Facts
from lmcli.engine.device import DTYPES, Placement, place
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.linear import prefill_dtype
from lmcli.engine.prefix_store import BLOCK
from lmcli.types import Checkpoint, LoadOptions, SamplingParams


def load(checkpoint: Mapping[str, Any], options: Mapping[str, Any], **_: Any) -> Ours:
    """`checkpoint` has the fields of types.Checkpoint, `options` are those of types.LoadOptions."""
    fields = dict(checkpoint) | {"path": Path(checkpoint["path"])}
    return Ours(Checkpoint(**fields), options)


class Ours:
    """Side over the engine's decoder, as GenerationEngine drives it: no lookup, no detokenizing, no sampling."""

    def __init__(self, checkpoint: Checkpoint, options: Mapping[str, Any]) -> None:
        asked = LoadOptions(**options)
        placement = place(checkpoint, asked, lambda event: None)
        loaded = engine.load(checkpoint, asked)
        assert isinstance(loaded, GenerationEngine)
        self._engine = loaded
        # A conversation is prepared while its user types; an answer of some 30 tokens has done the same by then.
        loaded.prepare()
        self._logits: Tensor = torch.empty(0)
        self.facts = Facts(
            version=lmcli.__version__,
            precision=str(placement),
            bytes_per_weight=_bytes_per_weight(placement),
            bytes_per_cached=4.0 if placement.device.type == "cpu" else placement.dtype.itemsize,
            prefill_dtype=_name(_prefill(placement)),
            context_length=loaded.context_length,
            batches=True,
        )

    def reset(self) -> None:
        self._engine.decoder.rewind(0)

    def feed(self, tokens: Sequence[int]) -> int:
        for first in range(0, len(tokens), BLOCK):
            logits = self._engine.decoder.forward(tokens[first : first + BLOCK])
        self._logits = logits[-1]
        return int(self._logits.argmax())

    def logits(self, ids: Sequence[int]) -> list[float]:
        chosen: list[float] = self._logits[list(ids)].tolist()
        return chosen

    def batch(self, prompts: Sequence[Sequence[int]], steps: int) -> float:
        # No conversation may end before the others: the worker is ours alone, and no token ends one here.
        self._engine.tokenizer.stop_ids = frozenset()
        texts = [self._engine.tokenizer.decode(list(prompt)) for prompt in prompts]
        short, long = (self._seconds([f"{n} {text}" for text in texts], n) for n in (1, steps + 1))
        return long - short

    def _seconds(self, texts: Sequence[str], max_tokens: int) -> float:
        params = [SamplingParams(max_tokens=max_tokens)] * len(texts)
        start = time.perf_counter()
        for _ in self._engine.stream_many(texts, params):
            pass
        return time.perf_counter() - start


def _bytes_per_weight(placement: Placement) -> float:
    """Of each weight decode reads its packed copy in fp16, int8 or int4 (with its scales), or the weight itself."""
    packed = {None: 2.0, 8: 1.0, 4: 0.625}[placement.bits]
    return packed if placement.packed else float(placement.dtype.itemsize)


def _prefill(placement: Placement) -> torch.dtype:
    """fp16 is multiplied in another precision on a CPU."""
    return prefill_dtype() if (placement.device.type, placement.dtype) == ("cpu", torch.float16) else placement.dtype


def _name(dtype: torch.dtype) -> str:
    return next(name for name, known in DTYPES.items() if known is dtype)
