"""Gradients: how much each token of a text adds to a probability, by the gradient with respect to its embedding.

gradient × input takes one pass (Simonyan et al. 2013, arXiv:1312.6034; Shrikumar et al. 2016, arXiv:1605.01713).
Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365) take the mean gradient on the way from a text that
says nothing, the same with masks for tokens: their weights add up to what the text's probability is above that one's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcli.engine.batches import Spelled
from lmcli.errors import UsageError
from lmcli.protocols import Target
from lmcli.types import Method, Weight

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


def attribute(embedded: Embedded, forward: Forward, chance: Callable[[Tensor], Tensor], method: Method) -> list[Weight]:
    """What each token with characters adds to the `chance` (S) that is made of probabilities (S, labels)."""
    if method == "occlusion":
        raise UsageError("occlusion asks for no gradients")
    sums = _METHODS[method](embedded, lambda words: chance(forward(words)))
    return [
        Weight(embedded.text[a:b], a, b, weight)
        for (a, b), weight in zip(embedded.spans, sums.tolist(), strict=True)
        if b > a
    ]


def chance_of(target: Target, labels: Sequence[str]) -> Callable[[Tensor], Tensor]:
    """Of probabilities (S, labels) those of the target (S)."""
    own = [labels.index(name) for name in target.labels]
    among = None if target.among is None else [labels.index(name) for name in target.among]

    def chance(probabilities: Tensor) -> Tensor:
        wanted = probabilities[:, own].sum(-1)
        return wanted if among is None else wanted / probabilities[:, among].sum(-1)

    return chance


def _gradient_x_input(embedded: Embedded, chance: Callable[[Tensor], Tensor]) -> Tensor:
    return (_gradients(embedded.words[None], chance)[0] * embedded.words).sum(-1)


def _integrated_gradients(embedded: Embedded, chance: Callable[[Tensor], Tensor]) -> Tensor:
    # The midpoints of equal steps miss the integral by less than the steps' ends.
    shares = (torch.arange(_STEPS, device=embedded.words.device) + 0.5) / _STEPS
    way = embedded.words - embedded.blank
    total = torch.zeros_like(way)
    for some in shares.split(max(_PASS // len(way), 1)):
        total += _gradients(embedded.blank + some[:, None, None] * way, chance).sum(0)
    return (total / _STEPS * way).sum(-1)


_METHODS = {"gradient-x-input": _gradient_x_input, "integrated-gradients": _integrated_gradients}


def _gradients(words: Tensor, chance: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient (S, T, hidden) of each text's own chance with respect to its embeddings."""
    with torch.enable_grad():
        words = words.detach().requires_grad_()
        (found,) = torch.autograd.grad(chance(words).sum(), words)
    return found
