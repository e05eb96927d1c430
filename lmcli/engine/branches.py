"""Branches: texts that go on from what a decoder's cache holds, side by side in one pass of it.

A pass over a few tokens takes as long as one over sixty: it reads every weight. So short texts are laid one after the
other in one pass, in which each token sees the cache, what its own branch grows from, and its own branch up to itself
(tree attention, Miao et al. 2023, arXiv:2305.09781).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Branch:
    """`tokens` behind those of another branch, by its index, or behind the cache itself where `parent` is None.

    The logits of its last `wanted` tokens are asked for.
    """

    tokens: Sequence[int]
    wanted: int
    parent: int | None = None


@dataclass(frozen=True)
class Tree:
    """T tokens of many branches, those whose logits are wanted at the end, behind a cache of `held` tokens.

    `seen` (T, held + T) says who sees whom; `positions` count from the cache's first token.
    """

    tokens: list[int]
    positions: list[int]
    wanted: int
    seen: Tensor
    held: int

    def masks(self, windows: Sequence[int | None], device: torch.device) -> Tensor:
        """`seen` as far as each window, a number of tokens or None, reaches: (W, T, held + T)."""
        query = torch.tensor(self.positions)
        key = torch.cat((torch.arange(self.held), query))
        back = query.unsqueeze(1) - key
        return torch.stack([self.seen if window is None else self.seen & (back < window) for window in windows]).to(
            device
        )


def tree(branches: Sequence[Branch], held: int) -> Tree:
    """The branches in one pass. The wanted logits come in the order of the branches."""
    starts = _starts(branches, held)
    laid = [*_places(branches, wanted=False), *_places(branches, wanted=True)]
    owners = torch.tensor([branch for branch, _ in laid])
    places = torch.tensor([place for _, place in laid])
    grows = _ancestors(branches)
    # One sees the branches that its own grows from whole, and its own up to itself.
    within = (owners.unsqueeze(1) == owners) & (places <= places.unsqueeze(1))
    own = grows[owners][:, owners] | within
    seen = torch.cat((torch.ones(len(laid), held, dtype=torch.bool), own), 1)
    tokens = [branches[branch].tokens[place] for branch, place in laid]
    positions = [starts[branch] + place for branch, place in laid]
    return Tree(tokens, positions, sum(branch.wanted for branch in branches), seen, held)


def _starts(branches: Sequence[Branch], held: int) -> list[int]:
    starts: list[int] = []
    for branch in branches:
        parent = branch.parent
        starts.append(held if parent is None else starts[parent] + len(branches[parent].tokens))
    return starts


def _places(branches: Sequence[Branch], wanted: bool) -> Iterator[tuple[int, int]]:
    for index, branch in enumerate(branches):
        middle = len(branch.tokens) - branch.wanted
        yield from ((index, place) for place in (range(middle, len(branch.tokens)) if wanted else range(middle)))


def _ancestors(branches: Sequence[Branch]) -> Tensor:
    """Which branch (row) grows from which (column)."""
    grows = torch.zeros(len(branches), len(branches), dtype=torch.bool)
    for index, branch in enumerate(branches):
        if branch.parent is not None:
            grows[index] = grows[branch.parent]
            grows[index, branch.parent] = True
    return grows
