"""Scoring: how likely continuations are after a prompt, one alone or many prompts a pass, or a text is as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lmcli.engine.branches import Branch, tree

if TYPE_CHECKING:
    from lmcli.engine.generation import Decoder

_PASS = 512  # tokens; of more each takes as long, and the masks grow by the square
_STRETCH = 128  # tokens whose probabilities are held at once: at 150,000 tokens of vocabulary 80 MB
Tokens = Sequence[int]


def together(prompts: Sequence[Tokens], held: int, continuations: Sequence[Tokens]) -> Iterator[list[int]]:
    """Indices of prompts in their order, as many as fit into one pass each time; all begin with the `held` tokens."""
    each = sum(len(tokens) - 1 for tokens in continuations)
    group: list[int] = []
    size = 0
    for i, prompt in enumerate(prompts):
        own = len(prompt) - held + each
        if group and size + own > _PASS:
            yield group
            group, size = [], 0
        group.append(i)
        size += own
    if group:
        yield group


def score_together(
    decoder: Decoder, prompts: Sequence[Tokens], continuations: Sequence[Tokens]
) -> list[list[float]] | None:
    """The log-likelihood (nats, summed over tokens) of each continuation after each prompt.

    The decoder holds what all prompts begin with, and holds it still afterwards. None where it takes no branches.
    """
    held = len(decoder.tokens)
    branches: list[Branch] = []
    for prompt in prompts:
        text = len(branches)
        branches.append(Branch(prompt[held:], wanted=1))
        branches += [Branch(tokens[:-1], len(tokens) - 1, text) for tokens in continuations if len(tokens) > 1]
    logits = decoder.branch(tree(branches, held))
    if logits is None:
        return None
    rows = logits.split(sum(len(tokens) - 1 for tokens in continuations) + 1)
    return [_each(own[:1], own[1:], continuations) for own in rows]


def slide(decoder: Decoder, tokens: Tokens, window: int, stride: int) -> Iterator[tuple[int, int, float]]:
    """Stretches of `tokens` from a first to an end, in order, and the log-likelihood of each; see
    CausalEngine.score_text."""
    scored = 1
    for begin in range(0, len(tokens), stride):
        end = min(begin + window, len(tokens))
        decoder.rewind(0)
        # A window that begins where the last one ended sees one token of it: what it scores first follows something.
        for first, last in _passes(min(begin, scored - 1), end - 1):
            wanted = last - max(first, scored - 1)  # of a pass over what was scored before there are none
            logits = decoder.forward(tokens[first:last], last=max(wanted, 1))
            for place in range(0, wanted, _STRETCH):
                part = logits[place : place + _STRETCH]
                start = last - wanted + 1 + place
                yield start, start + len(part), likelihood(part[:1], part[1:], tokens[start : start + len(part)])
        scored = end
        if end == len(tokens):
            return


def _passes(first: int, end: int) -> Iterator[tuple[int, int]]:
    """The places from `first` to `end` in passes of nearly one length: a last one of few tokens would be decoded."""
    count = -(-(end - first) // _PASS)
    bounds = [first + (end - first) * i // count for i in range(count + 1)] if count > 0 else []
    yield from pairwise(bounds)


def likelihood(first: Tensor, others: Tensor, continuation: Tokens) -> float:
    """The log-likelihood of a continuation whose first token has the logits (1, V), its others (n - 1, V)."""
    logits = torch.cat((first, others))
    chosen = torch.tensor(continuation, device=logits.device).unsqueeze(1)
    return float(logits.log_softmax(-1).gather(1, chosen).sum())


def _each(first: Tensor, others: Tensor, continuations: Sequence[Tokens]) -> list[float]:
    ends = list(accumulate(len(tokens) - 1 for tokens in continuations))
    return [
        likelihood(first, others[end - len(tokens) + 1 : end], tokens)
        for end, tokens in zip(ends, continuations, strict=True)
    ]
