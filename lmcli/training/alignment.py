"""Word alignment: which tokens of one language stand for which of another, learned from pairs of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_ROUNDS = 6  # of expectation maximization; more change little
_MOST = 8  # translations that are kept of a token
_LEAST = 2.0  # times that a token must have been translated, as far as the model believes


class Translations(NamedTuple):
    """The tokens that one stands for, the likeliest first, and how much of it each is; the shares add up to 1."""

    tokens: Tensor
    shares: Tensor


def translations(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[int, Translations]:
    """What the second sentences' tokens stand for in the first, of those that are met often enough.

    IBM's model 1 (Brown et al. 1993, aclanthology.org/J93-2003): each token of a second sentence is there for one of
    the first. Each token counts once a sentence.
    """
    if not pairs:
        return {}
    sentences, sources, targets = _links(pairs)
    links, link = torch.unique(targets * (sources.max() + 1) + sources, return_inverse=True)
    link_targets, link_sources = links // (sources.max() + 1), links % (sources.max() + 1)
    _, place = torch.unique(sentences * (targets.max() + 1) + targets, return_inverse=True)  # a token in its sentence
    probabilities = torch.ones(len(links), dtype=torch.float64)  # of the target, given the source
    counts = probabilities
    for _ in range(_ROUNDS):
        likelihoods = probabilities[link]
        shares = likelihoods / torch.bincount(place, likelihoods)[place]
        counts = torch.bincount(link, shares, len(links))
        probabilities = counts / torch.bincount(link_sources, counts)[link_sources]
    return _by_target(link_targets, link_sources, counts)


def _links(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Sentence, source and target of every link that is possible."""
    sentences, sources, targets = [], [], []
    for number, (first, second) in enumerate(pairs):
        source, target = torch.tensor(sorted(set(first))), torch.tensor(sorted(set(second)))
        if len(source) and len(target):
            sources.append(source.repeat(len(target)))
            targets.append(target.repeat_interleave(len(source)))
            sentences.append(torch.full((len(source) * len(target),), number))
    return torch.cat(sentences), torch.cat(sources), torch.cat(targets)


def _by_target(targets: Tensor, sources: Tensor, counts: Tensor) -> dict[int, Translations]:
    found = {}
    numbers, sizes = torch.unique_consecutive(targets, return_counts=True)  # The links are sorted by target.
    for number, own, tokens in zip(
        numbers.tolist(), counts.split(sizes.tolist()), sources.split(sizes.tolist()), strict=True
    ):
        if own.sum() >= _LEAST:
            best, order = own.topk(min(_MOST, len(own)))
            found[number] = Translations(tokens[order], best / best.sum())
    return found
