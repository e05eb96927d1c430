"""Scoring: how likely continuations are after a prompt, one alone or many prompts a pass, or a text is as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lmcli.engine.branches import Branch, tree

if TYPE_CHECKING:
    from lmcli.engine.generation import Decoder

_PASS = 512  # tokens; of more each takes as long, and the masks grow by the square
_STRETCH = 128  # tokens whose logits are held at once: at 150,000 tokens of vocabulary 80 MB
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
        fed = min(begin, scored - 1)
        for first in range(fed, scored - 1, _PASS):
            decoder.forward(tokens[first : min(first + _PASS, scored - 1)])
        for first in range(scored, end, _STRETCH):
            last = min(first + _STRETCH, end)
            logits = decoder.forward(tokens[first - 1 : last - 1], last=last - first)
            yield first, last, likelihood(logits[:1], logits[1:], tokens[first:last])
        scored = max(scored, end)
        if end == len(tokens):
            return


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
