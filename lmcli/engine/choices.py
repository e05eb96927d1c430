"""Choices: how probable each token of a text is to a decoder, and what else it held likely in its place."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lmcli.engine.spelling import Spelling
from lmcli.engine.tokenizer import Detokenizer, Tokenizer
from lmcli.explanations import Candidate, Choice
from lmcli.types import Done, Event, Usage

if TYPE_CHECKING:
    from lmcli.engine.answer import Answer
    from lmcli.engine.generation import Decoder

_BLOCK = 128  # tokens whose logits are held at once: at 150,000 tokens of vocabulary 80 MB


@dataclass(frozen=True)
class Window:
    """As much of a text as is read at once: `tokens` are weighed behind `context`."""

    context: list[int]
    tokens: list[int]


def windows(prompt: Sequence[int], given: Sequence[int], context_length: int) -> Iterator[Window]:
    """`given` behind `prompt` in windows of a decoder's context: each token once, but in the first behind at least
    half a context of what comes before it."""
    whole, half = [*prompt, *given], context_length // 2
    start, end = len(prompt), context_length
    context = list(prompt)
    while start < len(whole):
        yield Window(context, whole[start:end])
        start, end = end, end + context_length - half
        context = whole[start - half : start]


class Weigher:
    """Makes Choices of logits and the tokens that were chosen by them, in the order of the text."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], rivals: int) -> None:
        self._spelled, self._shown = Spelling(tokenizer), Detokenizer(tokenizer, prompt)
        self._rivals = rivals

    def __call__(self, logits: Tensor, tokens: Sequence[int]) -> Iterator[Choice]:
        """A Choice for each of `tokens` (N), whose places have the fp32 `logits` (N, V)."""
        chosen = torch.tensor(tokens, device=logits.device).unsqueeze(1)
        likelihoods = logits.log_softmax(-1)  # nats
        own = likelihoods.gather(1, chosen)
        ranks = 1 + (likelihoods > own).sum(-1)
        entropies = torch.special.entr(likelihoods.exp()).sum(-1) / math.log(2)
        best = likelihoods.topk(min(1 + self._rivals, logits.shape[-1]))
        rows = zip(
            tokens, own[:, 0].tolist(), ranks.tolist(), entropies.tolist(), best.indices.tolist(),
            best.values.exp().tolist(), strict=True,
        )  # fmt: skip
        for token, likelihood, rank, entropy, ids, chances in rows:
            others = [pair for pair in zip(ids, chances, strict=True) if pair[0] != token][: self._rivals]
            yield Choice(
                token, self._spelled(token), self._shown.add(token), math.exp(likelihood),
                -likelihood / math.log(2), rank, entropy,
                tuple(Candidate(other, self._spelled(other), chance) for other, chance in others),
            )  # fmt: skip


def written(decoder: Decoder, begin: Callable[[], tuple[Tensor, Answer]], weigh: Weigher) -> Iterator[Event]:
    """The Choices of an answer that is written now, and Done; `begin` prefills its prompt.

    A token a pass: were some guessed, the logits would be the same and come later.
    """
    since = time.perf_counter()
    logits, answer = begin()
    while not answer.finished:
        answer.add(logits[-1])
        answer.spend((now := time.perf_counter()) - since)
        since = now
        yield from weigh(logits[-1:], [answer.token])
        if not answer.finished:
            logits = decoder.forward([answer.token])
    yield answer.end()[-1]


def read(
    decoder: Decoder, prefill: Callable[[list[int]], tuple[Tensor, int]], reading: Iterable[Window], weigh: Weigher
) -> Iterator[Event]:
    """The Choices of a text that is given, and Done."""
    start, count = time.perf_counter(), 0
    for window in reading:
        logits, _ = prefill(window.context)
        count += len(window.tokens) + (0 if count else len(window.context))
        yield from weigh(logits, window.tokens[:1])
        for first, block in _blocks(window.tokens):
            logits = decoder.forward(block, last=len(block))
            yield from weigh(logits, window.tokens[first + 1 : first + 1 + len(block)])
    yield Done("stop", Usage(count, ttft_seconds=time.perf_counter() - start))


def _blocks(tokens: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """All but the last of `tokens` in blocks of nearly one length, each with its place: a last one of few tokens would
    be decoded, in another precision."""
    count = len(tokens) - 1
    pieces = math.ceil(count / _BLOCK)
    ends = [count * i // pieces for i in range(pieces + 1)] if pieces else []
    for first, end in pairwise(ends):
        yield first, list(tokens[first:end])
