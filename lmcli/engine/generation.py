"""Generation: the engine of any causal decoder, from a prompt to a stream of events and back to likelihoods."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor

from lmcli.engine.answer import Answer, Request, opens_thought
from lmcli.engine.choices import Weigher, read, windows, written
from lmcli.engine.grammar import Grammars
from lmcli.engine.memory import memory_errors
from lmcli.engine.prefix_store import BLOCK, PrefixStore
from lmcli.engine.scoring import likelihood, score_together, slide, together
from lmcli.engine.speculation import MOST, Bound, Chain, Drafter, Guesser, Lookup
from lmcli.engine.text_stream import END_THINK
from lmcli.engine.tokenizer import Tokenizer
from lmcli.errors import InputTooLong
from lmcli.protocols import Stretch
from lmcli.types import Checkpoint, Conversation, Event, Prompt, SamplingParams

if TYPE_CHECKING:
    from lmcli.engine.branches import Tree

_FIRST_ROWS = 8  # prompts side by side until the first is answered
Item = TypeVar("Item")


class Decoder(Protocol):
    """A decoder with its KV cache; `tokens` are those the cache holds."""

    context_length: int
    device: torch.device
    tokens: list[int]
    verifies: bool  # whether a pass over a few tokens is little longer than one over one, and can be taken back

    def forward(self, tokens: Sequence[int], last: int = 1) -> Tensor:
        """Feed `tokens` after those in the cache: fp32 logits (last, V) of the last ones.

        Interrupted half way it leaves the cache as it was.
        """

    def prepare(self) -> None:
        """Do now what would otherwise be done behind the first tokens; another thread may."""

    def rewind(self, length: int) -> int:
        """Forget all but the first `length` tokens, or more where the cache cannot be cut there; what is kept."""

    def batch(self, rows: int, longest: int) -> Batch | None:
        """For up to `rows` sequences of up to `longest` tokens side by side; None where they go one by one."""

    def branch(self, tree: Tree) -> Tensor | None:
        """fp32 logits (wanted, V) of a tree that grows from the cache, which stays as it was; None where it cannot."""


class Batch(Protocol):
    """Sequences decoded side by side by one decoder, a row each; at most `rows`, which may be fewer than asked for."""

    rows: int

    def add(self) -> None:
        """Copy the sequence in the decoder's own cache into a new last row."""

    def forward(self, tokens: Sequence[int]) -> Tensor:
        """Feed one token to each row: fp32 logits (B, V)."""

    def remove(self, row: int) -> None:
        """Give up a row; the last row moves into its place."""


class GenerationEngine:
    """protocols.CausalEngine over any decoder: the KV cache is kept, so that a prompt which goes on where the last one
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
        self.draft: Drafter | None = None  # of a decoder that verifies
        self._prefixes = prefixes
        self._grammars = Grammars(tokenizer)

    def prepare(self) -> None:
        self.decoder.prepare()
        if self.draft is not None:
            self.draft.prepare()

    def count(self, prompt: Prompt) -> int:
        return len(self.tokenizer.encode(prompt))

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Event]:
        return self._guarded(self._stream(self._request(prompt, params)))

    def stream_many(self, prompts: Sequence[Prompt], params: Sequence[SamplingParams]) -> Iterator[tuple[int, Event]]:
        requests = [self._request(prompt, own) for prompt, own in zip(prompts, params, strict=True)]
        return self._guarded(self._stream_many(requests))

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[float]:
        tokens = self._fitting(prompt, think=False)  # A label follows the prompt at once.
        with memory_errors(self.checkpoint):
            return self._score_alone(tokens, list(map(self.tokenizer.encode_continuation, continuations)))

    def score_many(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        tokens = [self._fitting(prompt, think=False) for prompt in prompts]
        endings = [self.tokenizer.encode_continuation(continuation) for continuation in continuations]
        scores: list[list[float]] = []
        with memory_errors(self.checkpoint):
            shared = _shared_by_all(tokens) if len(tokens) > 1 and all(endings) else 0
            for group in together(tokens, shared, endings) if shared else [[i] for i in range(len(tokens))]:
                found = None
                if len(group) > 1:
                    self._hold(tokens[0][:shared])
                    found = score_together(self.decoder, [tokens[i] for i in group], endings)
                scores += found or [self._score_alone(tokens[i], endings) for i in group]
        return scores

    def score_text(self, text: str, window: int, stride: int) -> Iterator[Stretch]:
        # What the checkpoint begins a text with, not what it may end one with.
        tokens = [*self.tokenizer.encode_text("")[:1], *self.tokenizer.encode_continuation(text)]
        with memory_errors(self.checkpoint):
            if tokens:
                yield Stretch(0, 0.0, self.tokenizer.decode(tokens[:1]))
            for first, end, found in slide(self.decoder, tokens, window, stride):
                yield Stretch(end - first, found, self.tokenizer.decode(tokens[first:end]))

    def explain(self, prompt: Prompt, params: SamplingParams, rivals: int, given: str | None = None) -> Iterator[Event]:
        if given is None:
            request = self._request(prompt, params)
            weigh = Weigher(self.tokenizer, request.tokens, rivals)
            return self._guarded(written(self.decoder, partial(self._begin, request), weigh))
        tokens = self._fitting(prompt, params.think)
        reading = windows(tokens, self.tokenizer.encode_continuation(given), self.context_length)
        return self._guarded(read(self.decoder, self._prefill, reading, Weigher(self.tokenizer, tokens, rivals)))

    def _guarded(self, events: Iterator[Item]) -> Iterator[Item]:
        with memory_errors(self.checkpoint):
            yield from events

    def _request(self, prompt: Prompt, params: SamplingParams) -> Request:
        constraint = self._grammars.begin(params.grammar) if params.grammar else None
        tokens = self._fitting(prompt, params.think and constraint is None, closed=constraint is not None)
        room = self.context_length - len(tokens)
        limit = room if params.max_tokens is None else min(params.max_tokens, room)
        reasons = isinstance(prompt, Conversation) and constraint is None
        return Request(tokens, limit, params, reasons, constraint)

    def _fitting(self, prompt: Prompt, think: bool, closed: bool = False) -> list[int]:
        tokens = self.tokenizer.encode(prompt, think) or sorted(self.tokenizer.stop_ids)[:1] or [0]
        if closed and isinstance(prompt, Conversation) and opens_thought(self.tokenizer, tokens):
            # The template would have it think whatever it is told.
            tokens += self.tokenizer.encode_continuation(f"{END_THINK}\n\n")
        if len(tokens) >= self.context_length:
            raise InputTooLong(
                f"the text has {len(tokens)} tokens, more than the {self.context_length} of {self.checkpoint.name}",
                "shorten it, or use a checkpoint with a longer context: lmcli list --all",
            )
        return tokens

    def _stream(self, request: Request) -> Iterator[Event]:
        since = time.perf_counter()
        logits, answer = self._begin(request)
        guesser = self._guesser(answer) if self.decoder.verifies else None
        guess: list[int] = []
        while not answer.finished:
            events, right = answer.check(logits, guess)
            now = time.perf_counter()
            answer.spend(now - since)
            since = now
            yield from events
            if not answer.finished:
                guess = self._guess(guesser, answer, len(guess), right)
                logits = self.decoder.forward([answer.token, *guess], last=1 + len(guess))
        *held, done = answer.end()
        yield from held
        if self._prefixes is not None:
            yield from self._prefixes.keep(request.tokens)  # The answer is told: nobody waits for this.
        yield done

    def _guesser(self, answer: Answer) -> Guesser:
        guesser = Lookup() if self.draft is None else Chain(Lookup(), self.draft)
        return guesser if answer.constraint is None else Bound(answer.constraint, guesser)

    def _guess(self, guesser: Guesser | None, answer: Answer, guessed: int, right: int) -> list[int]:
        """Tokens to follow the answer's last one, after `right` of those `guessed` before were so."""
        if guesser is None:
            return []
        if guessed:
            guesser.learn(guessed, right)
            self.decoder.rewind(len(self.decoder.tokens) - guessed + right)
        room = self.context_length - len(self.decoder.tokens) - 1
        return guesser.guess([*self.decoder.tokens, answer.token], min(MOST, answer.wanted - 1, room))

    def _stream_many(self, requests: Sequence[Request]) -> Iterator[tuple[int, Event]]:
        """Continuous batching (Yu et al. 2022, Orca): the answer that ends gives its row to the next prompt at once."""
        longest = max((len(request.tokens) + request.limit for request in requests), default=0)
        batch = self.decoder.batch(len(requests), longest)
        if batch is None:
            yield from ((i, event) for i, request in enumerate(requests) for event in self._stream(request))
            return
        waiting = deque(enumerate(requests))
        rows: list[tuple[int, Answer]] = []
        while waiting or rows:
            # Few at first, so that the first answer is there soon.
            ended = len(requests) - len(waiting) - len(rows)
            if waiting and len(rows) < (batch.rows if ended else min(batch.rows, _FIRST_ROWS)):
                yield from self._admit(batch, rows, *waiting.popleft())
            else:
                yield from _step(batch, rows)

    def _admit(
        self, batch: Batch, rows: list[tuple[int, Answer]], index: int, request: Request
    ) -> Iterator[tuple[int, Event]]:
        """Prefill a prompt alone, choose its answer's first token, and give it a row for the others.

        What the prompt shares with the last one is in the decoder's own cache, into which no answer goes.
        """
        start = time.perf_counter()
        logits, answer = self._begin(request)
        events = [] if answer.finished else answer.add(logits[-1])
        if not answer.finished:
            batch.add()
            rows.append((index, answer))
        answer.spend(time.perf_counter() - start)
        yield from ((index, event) for event in (*events, *(answer.end() if answer.finished else ())))

    def _begin(self, request: Request) -> tuple[Tensor, Answer]:
        """Logits (1, V) after the prompt, and the answer that they begin."""
        logits, cached = self._prefill(request.tokens)
        return logits, Answer(request, self.tokenizer, self.decoder.device, cached)

    def _prefill(self, tokens: Sequence[int]) -> tuple[Tensor, int]:
        """Logits (1, V) after `tokens`, and how many of them the cache already held."""
        kept = min(shared_prefix(self.decoder.tokens, tokens), len(tokens) - 1)
        if self._prefixes is not None:
            kept = self._prefixes.resume(tokens, kept)
        kept = self.decoder.rewind(kept)
        for first in range(kept, len(tokens), BLOCK):  # Between blocks Ctrl-C is heard.
            logits = self.decoder.forward(tokens[first : first + BLOCK])
        return logits, kept

    def _hold(self, tokens: Sequence[int]) -> None:
        """Have the cache hold `tokens` and no more."""
        kept = self.decoder.rewind(shared_prefix(self.decoder.tokens, tokens))
        if kept < len(tokens):
            self._prefill(tokens)

    def _score_alone(self, prompt: list[int], continuations: Sequence[list[int]]) -> list[float]:
        first, _ = self._prefill(prompt)
        return [
            likelihood(first, first[:0] if len(tokens) < 2 else self._behind(prompt, tokens[:-1]), tokens)
            for tokens in continuations
        ]

    def _behind(self, prompt: list[int], tokens: list[int]) -> Tensor:
        """Logits (n, V) after each of n tokens behind the prompt."""
        kept = self.decoder.rewind(len(prompt))
        return self.decoder.forward([*prompt[kept:], *tokens], last=len(tokens))


def _step(batch: Batch, rows: list[tuple[int, Answer]]) -> Iterator[tuple[int, Event]]:
    """A token more for each row; the answers that end with it give up theirs."""
    start = time.perf_counter()
    logits = batch.forward([answer.token for _, answer in rows])
    events = [answer.add(row) for (_, answer), row in zip(rows, logits, strict=True)]
    share = (time.perf_counter() - start) / len(rows)
    for (index, answer), said in zip(rows, events, strict=True):
        answer.spend(share)
        yield from ((index, event) for event in (*said, *(answer.end() if answer.finished else ())))
    for row in reversed(range(len(rows))):  # From the end: the row that moves into a gap is one that goes on.
        if rows[row][1].finished:
            batch.remove(row)
            rows[row] = rows[-1]
            rows.pop()


def _shared_by_all(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all begin with, less the last one of the shortest: each keeps one of its own to feed."""
    shared = min(shared_prefix(prompts[0], prompt) for prompt in prompts)
    return min(shared, min(map(len, prompts)) - 1)


def shared_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens both begin with, halving: slices are compared far faster than single tokens."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if list(a[low:middle]) == list(b[low:middle]):
            low = middle
        else:
            high = middle - 1
    return low
