"""Generation: the engine of any causal decoder, from a prompt to a stream of events and back to likelihoods."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from lmcli.engine.memory import memory_errors
from lmcli.engine.prefix_store import BLOCK, PrefixStore
from lmcli.engine.sampling import Sampler
from lmcli.engine.text_stream import THINK, ReasoningFilter, StopStrings
from lmcli.engine.tokenizer import Detokenizer, Tokenizer
from lmcli.errors import InputTooLong
from lmcli.types import (
    Checkpoint,
    Chunk,
    Conversation,
    Done,
    Event,
    Prompt,
    SamplingParams,
    Usage,
)


class Decoder(Protocol):
    """A decoder with its KV cache; `tokens` are those the cache holds."""

    context_length: int
    device: torch.device
    tokens: list[int]

    def forward(self, tokens: Sequence[int], last: int = 1) -> Tensor:
        """Feed `tokens` after those in the cache: fp32 logits (last, V) of the last ones.

        Interrupted half way it leaves the cache as it was.
        """

    def prepare(self) -> None:
        """Do now what would otherwise be done behind the first tokens; another thread may."""

    def rewind(self, length: int) -> int:
        """Forget all but the first `length` tokens, or more where the cache cannot be cut there; what is kept."""


class GenerationEngine:
    """types.CausalEngine over any decoder: the KV cache is kept, so that a prompt which goes on where the last one
    ended is prefilled from there only."""

    def __init__(
        self, checkpoint: Checkpoint, tokenizer: Tokenizer, decoder: Decoder, context: int | None = None,
        prefixes: PrefixStore | None = None,
    ) -> None:  # fmt: skip
        """`context` is the most tokens to hold, None what the decoder was made for. `prefixes` keeps prompts for other
        processes."""
        self.checkpoint = checkpoint
        self.context_length = min(context or decoder.context_length, decoder.context_length)
        self.tokenizer = tokenizer
        self.decoder = decoder
        self._prefixes = prefixes

    def prepare(self) -> None:
        self.decoder.prepare()

    def count(self, prompt: Prompt) -> int:
        return len(self.tokenizer.encode(prompt))

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Event]:
        tokens = self._fitting(prompt, params.think)
        room = self.context_length - len(tokens)
        limit = room if params.max_tokens is None else min(params.max_tokens, room)
        return self._guarded(self._stream(tokens, limit, params, isinstance(prompt, Conversation)))

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[float]:
        tokens = self._fitting(prompt, think=False)  # A label follows the prompt at once.
        with memory_errors(self.checkpoint):
            first, _ = self._prefill(tokens)
            return [self._log_likelihood(first, tokens, continuation) for continuation in continuations]

    def _guarded(self, events: Iterator[Event]) -> Iterator[Event]:
        with memory_errors(self.checkpoint):
            yield from events

    def _fitting(self, prompt: Prompt, think: bool) -> list[int]:
        tokens = self.tokenizer.encode(prompt, think) or sorted(self.tokenizer.stop_ids)[:1] or [0]
        if len(tokens) >= self.context_length:
            raise InputTooLong(
                f"the text has {len(tokens)} tokens, more than the {self.context_length} of {self.checkpoint.name}",
                "shorten it, or use a checkpoint with a longer context: lmcli list --all",
            )
        return tokens

    def _stream(self, tokens: list[int], limit: int, params: SamplingParams, chat: bool) -> Iterator[Event]:
        """Tokens to events: detokenize, tell reasoning from the answer, stop where asked."""
        start = time.perf_counter()
        logits, cached = self._prefill(tokens)
        detokenizer = Detokenizer(self.tokenizer, tokens)
        thinking = chat and self.tokenizer.decode(tokens[-8:]).rstrip().endswith(THINK)
        reasoning = ReasoningFilter(thinking) if chat else None
        stop = StopStrings(params.stop)
        sampler = Sampler(params, tokens, self.decoder.device)
        token, count, ended, first_at = -1, 0, False, start
        while count < limit and not (ended or stop.found):
            if count:
                logits = self.decoder.forward([token])
            token = sampler(logits[-1])
            count += 1
            first_at = time.perf_counter() if count == 1 else first_at
            ended = token in self.tokenizer.stop_ids
            if not ended:
                yield from _readable(detokenizer.add(token), reasoning, stop)
        if not stop.found:
            yield from _readable(detokenizer.finish(), reasoning, stop, last=True)
        usage = Usage(len(tokens), cached, count, first_at - start, time.perf_counter() - first_at)
        if self._prefixes is not None:
            yield from self._prefixes.keep(tokens)  # The answer is told: nobody waits for this.
        yield Done("stop" if ended or stop.found else "length", usage)

    def _prefill(self, tokens: list[int]) -> tuple[Tensor, int]:
        """Logits (1, V) after `tokens`, and how many of them the cache already held."""
        kept = min(_shared_prefix(self.decoder.tokens, tokens), len(tokens) - 1)
        if self._prefixes is not None:
            kept = self._prefixes.resume(tokens, kept)
        kept = self.decoder.rewind(kept)
        for first in range(kept, len(tokens), BLOCK):  # Between blocks Ctrl-C is heard.
            logits = self.decoder.forward(tokens[first : first + BLOCK])
        return logits, kept

    def _log_likelihood(self, first: Tensor, prompt: list[int], continuation: str) -> float:
        tokens = self.tokenizer.encode_continuation(continuation)
        logits = first
        if len(tokens) > 1:
            kept = self.decoder.rewind(len(prompt))
            fed = [*prompt[kept:], *tokens[:-1]]
            logits = torch.cat((first, self.decoder.forward(fed, last=len(tokens) - 1)))
        chosen = torch.tensor(tokens, device=logits.device).unsqueeze(1)
        return float(logits.log_softmax(-1).gather(1, chosen).sum())


def _readable(text: str, reasoning: ReasoningFilter | None, stop: StopStrings, last: bool = False) -> Iterator[Event]:
    """The events in `text`, as far as nothing later can change them."""
    events: list[Event] = list(reasoning.add(text)) if reasoning else [Chunk(text)]
    if reasoning and last:
        events.extend(reasoning.finish())
    for event in events:
        if not isinstance(event, Chunk):
            yield event
        elif not stop.found and (shown := stop.add(event.text)):
            yield Chunk(shown)
    if last and not stop.found and (held := stop.finish()):
        yield Chunk(held)


def _shared_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    length = min(len(a), len(b))
    return next((i for i in range(length) if a[i] != b[i]), length)
