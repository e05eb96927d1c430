"""lmcli itself: the engine that every command loads, ready for long answers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

import lmcli
from lmcli import engine
from lmcli.bench.sides import Facts
from lmcli.bench.work import read_work
from lmcli.engine.device import DTYPES, Placement, place
from lmcli.engine.generation import Batch, Decoder, GenerationEngine
from lmcli.engine.linear import prefill_dtype
from lmcli.engine.prefix_store import BLOCK
from lmcli.engine.tokenizer import Tokenizer
from lmcli.types import Checkpoint, Conversation, Done, LoadOptions, Prompt, SamplingParams


def load(checkpoint: Mapping[str, Any], options: Mapping[str, Any], **_: Any) -> Ours:
    """`checkpoint` has the fields of types.Checkpoint, `options` are those of types.LoadOptions."""
    fields = dict(checkpoint) | {"path": Path(checkpoint["path"])}
    return Ours(Checkpoint(**fields), options)


class Ours:
    """Side over the engine's decoder, as GenerationEngine drives it: no lookup, no detokenizing, no sampling. A whole
    answer is the engine's own, with all of them."""

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
            bytes_per_weight=_bytes_per_weight(checkpoint, placement),
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

    def answer(self, prompt: Sequence[int], tokens: int) -> int:
        engine, counted = self._engine, _Counted(self._engine.decoder)
        tokenizer, decoder = engine.tokenizer, engine.decoder
        asked: Prompt = Conversation.ask("") if engine.checkpoint.instruct else ""
        engine.tokenizer, engine.decoder = _Given(tokenizer, prompt), cast(Decoder, counted)
        try:
            *_, done = engine.stream(asked, SamplingParams(max_tokens=tokens))
        finally:
            engine.tokenizer, engine.decoder = tokenizer, decoder
        assert isinstance(done, Done)
        assert done.usage.completion_tokens == tokens
        return counted.passes - math.ceil(len(prompt) / BLOCK)

    def batch(self, prompts: Sequence[Sequence[int]], steps: int) -> float:
        batch = self._engine.decoder.batch(len(prompts), len(prompts[0]) + steps)
        if batch is None:
            return sum(self._alone(prompt, steps) for prompt in prompts)
        # Where memory holds fewer rows than prompts, or fewer are faster, the others wait, as they do in a command.
        groups = [prompts[first : first + batch.rows] for first in range(0, len(prompts), batch.rows)]
        return sum(self._together(batch, group, steps) for group in groups)

    def _alone(self, prompt: Sequence[int], steps: int) -> float:
        self.reset()
        token = self.feed(prompt)
        start = time.perf_counter()
        for _ in range(steps):
            token = self.feed([token])
        return time.perf_counter() - start

    def _together(self, batch: Batch, prompts: Sequence[Sequence[int]], steps: int) -> float:
        tokens = []
        for prompt in prompts:
            self.reset()
            tokens.append(self.feed(prompt))
            batch.add()
        start = time.perf_counter()
        for _ in range(steps):
            tokens = batch.forward(tokens).argmax(-1).tolist()
        seconds = time.perf_counter() - start
        for row in reversed(range(len(prompts))):
            batch.remove(row)
        return seconds


class _Given(Tokenizer):
    """A tokenizer that makes of every prompt the tokens it was given, and knows none that ends an answer."""

    def __init__(self, tokenizer: Tokenizer, tokens: Sequence[int]) -> None:
        self._tokenizer, self._tokens = tokenizer, list(tokens)
        self.template, self.stop_ids = tokenizer.template, frozenset()

    def encode(self, prompt: Prompt, think: bool = True) -> list[int]:
        return self._tokens

    def encode_text(self, text: str) -> list[int]:
        return self._tokens

    def encode_continuation(self, text: str) -> list[int]:
        return self._tokenizer.encode_continuation(text)

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(tokens)


class _Counted:
    """A decoder, and how many passes it made."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder, self.passes = decoder, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._decoder, name)

    def forward(self, tokens: Sequence[int], last: int = 1) -> Tensor:
        self.passes += 1
        return self._decoder.forward(tokens, last)


def _bytes_per_weight(checkpoint: Checkpoint, placement: Placement) -> float:
    """Of each weight decode reads its packed copy in fp16, int8 or int4 (with its scales), or the weight itself."""
    if not placement.packed:
        return float(placement.dtype.itemsize)
    packed = {None: 2.0, 8: 1.0, 4: 0.625}[placement.bits]
    work = read_work(checkpoint) if placement.bits == 4 else None
    # The head of a decoder in 4 bits is packed in 8.
    return (packed * work.layer_weights + work.head_weights) / work.weights if work else packed


def _prefill(placement: Placement) -> torch.dtype:
    """fp16 is multiplied in another precision on a CPU."""
    return prefill_dtype() if (placement.device.type, placement.dtype) == ("cpu", torch.float16) else placement.dtype


def _name(dtype: torch.dtype) -> str:
    return next(name for name, known in DTYPES.items() if known is dtype)
