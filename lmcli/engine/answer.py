"""An answer as it grows: logits in, the next token and readable events out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcli.engine.grammar import Constraint
from lmcli.engine.sampling import Sampler, keep_allowed
from lmcli.engine.text_stream import THINK, ReasoningFilter, StopStrings
from lmcli.engine.tokenizer import Detokenizer, Tokenizer
from lmcli.types import Chunk, Done, Event, SamplingParams, Usage


@dataclass(frozen=True)
class Request:
    """A prompt's tokens, the most tokens its answer may have, whether that may reason first, and what binds it."""

    tokens: list[int]
    limit: int
    params: SamplingParams
    reasons: bool
    constraint: Constraint | None = None


class Answer:
    """The answer to one request: detokenizes, tells reasoning from the answer, stops where asked.

    `token` is the one chosen last; once `finished` no more logits are wanted.
    """

    def __init__(self, request: Request, tokenizer: Tokenizer, device: torch.device, cached_tokens: int) -> None:
        """`cached_tokens` of the prompt were in the cache before."""
        prompt = request.tokens
        self.constraint = request.constraint
        self.token = -1
        self._limit, self._stop_ids, self._ended = request.limit, tokenizer.stop_ids, False
        self._usage = Usage(len(prompt), cached_tokens)
        self._detokenizer = Detokenizer(tokenizer, prompt)
        self._reasoning = ReasoningFilter(opens_thought(tokenizer, prompt)) if request.reasons else None
        self._stop = StopStrings(request.params.stop)
        self._sampler = Sampler(request.params, prompt, device)

    @property
    def finished(self) -> bool:
        return self._whole or self._usage.completion_tokens >= self._limit

    @property
    def wanted(self) -> int:
        """The most tokens that may still come."""
        return self._limit - self._usage.completion_tokens

    def check(self, logits: Tensor, guess: Sequence[int]) -> tuple[list[Event], int]:
        """Choose the tokens after fp32 `logits` (1 + len(guess), V) of the last token and of guesses that follow it,
        as far as the guesses are those chosen: what became readable, and how many guesses were right."""
        events: list[Event] = []
        for right, row in enumerate(logits):
            events += self.add(row)
            if self.finished or right == len(guess) or self.token != guess[right]:
                break
        self._usage += Usage(guessed_tokens=len(guess), accepted_tokens=right)
        return events, right

    def add(self, logits: Tensor) -> list[Event]:
        """Choose the next token after fp32 `logits` (V,): what became readable with it."""
        if self.constraint is not None:
            logits = keep_allowed(logits, self.constraint.allowed())
        self.token = self._sampler(logits)
        self._ended = self.token in self._stop_ids
        if self.constraint is not None:
            self.constraint.take(self.token)
        self._usage += Usage(completion_tokens=1)
        return [] if self._ended else list(self._readable(self._detokenizer.add(self.token)))

    def spend(self, seconds: float) -> None:
        """Count the time that the last token took: the first one's is from the request on."""
        first = self._usage.completion_tokens <= 1
        self._usage += Usage(ttft_seconds=seconds) if first else Usage(decode_seconds=seconds)

    def end(self) -> list[Event]:
        """What was held back, and Done."""
        held = [] if self._stop.found else list(self._readable(self._detokenizer.finish(), last=True))
        return [*held, Done("stop" if self._whole else "length", self._usage)]

    @property
    def _whole(self) -> bool:
        return self._ended or self._stop.found or (self.constraint is not None and self.constraint.ended)

    def _readable(self, text: str, last: bool = False) -> Iterator[Event]:
        """The events in `text`, as far as nothing later can change them."""
        reasoning, stop = self._reasoning, self._stop
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


def opens_thought(tokenizer: Tokenizer, prompt: Sequence[int]) -> bool:
    """Whether the chat template has begun the reasoning already."""
    return tokenizer.decode(prompt[-8:]).rstrip().endswith(THINK)
