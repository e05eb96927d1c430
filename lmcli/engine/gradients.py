"""Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365): how much each token adds to a probability.

Each token's embedding is moved from that of a mask to its own, and the gradient is averaged on the way: the weights add
up to what the probability of the text is above that of a text of masks. A single gradient, at a probability that is
nearly 1, would be nearly nothing for every word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcli.engine.batches import Spelled
from lmcli.explanations import Weight
from lmcli.protocols import Target

_STEPS = 48
_PASS = 2048  # tokens: what is kept of each layer for the way back is held at once

Forward = Callable[[Tensor], Tensor]  # embeddings (S, T, hidden) to probabilities (S, labels)


@dataclass(frozen=True)
class Embedded:
    """A text's tokens: their embeddings and those of one that says nothing (T, hidden) each, and which characters they
    stand for; none of those that the tokenizer puts around a text, which are the same in both."""

    text: str
    words: Tensor
    blank: Tensor
    spans: Sequence[tuple[int, int]]


def embed(table: Callable[[Tensor], Tensor], text: str, spelled: Spelled, device: torch.device) -> Embedded:
    """A text by the embeddings that `table` gives for tokens (T)."""
    tokens = torch.tensor(spelled.ids, device=device)
    held = torch.tensor([b > a for a, b in spelled.spans], device=device)
    with torch.no_grad():
        return Embedded(text, table(tokens), table(tokens.masked_fill(held, spelled.blank)), spelled.spans)


def attribute(embedded: Embedded, forward: Forward, chance: Callable[[Tensor], Tensor]) -> list[Weight]:
    """What each token with characters adds to the `chance` (S) that is made of probabilities (S, labels)."""
    # The midpoints of equal steps miss the integral by less than the steps' ends.
    shares = (torch.arange(_STEPS, device=embedded.words.device) + 0.5) / _STEPS
    way = embedded.words - embedded.blank
    total = torch.zeros_like(way)
    for some in shares.split(max(_PASS // len(way), 1)):
        total += _gradients(embedded.blank + some[:, None, None] * way, lambda words: chance(forward(words))).sum(0)
    weights = (total / _STEPS * way).sum(-1).tolist()
    spans = zip(embedded.spans, weights, strict=True)
    return [Weight(embedded.text[a:b], a, b, weight) for (a, b), weight in spans if b > a]


def chance_of(target: Target, labels: Sequence[str]) -> Callable[[Tensor], Tensor]:
    """Of probabilities (S, labels) those of the target (S)."""
    own = [labels.index(name) for name in target.labels]
    among = None if target.among is None else [labels.index(name) for name in target.among]

    def chance(probabilities: Tensor) -> Tensor:
        wanted = probabilities[:, own].sum(-1)
        return wanted if among is None else wanted / probabilities[:, among].sum(-1)

    return chance


def _gradients(words: Tensor, chance: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient (S, T, hidden) of each text's own chance with respect to its embeddings."""
    with torch.enable_grad():
        words = words.detach().requires_grad_()
        (found,) = torch.autograd.grad(chance(words).sum(), words)
    return found
