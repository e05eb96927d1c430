"""Rows: texts of all lengths side by side in rows of one length, so that almost nothing of a batch is padding.

Attention is masked to a token's own text. On a CPU it takes as long over rows of 16 tokens as over rows of 64: texts
that are only sorted and padded would be such short rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

_SHORTEST, _STEP = 64, 32  # tokens: a row is as long as its longest text, in steps, and not shorter


@dataclass(frozen=True)
class Row:
    """`length` tokens, which hold the texts of these indices and then padding."""

    length: int
    texts: tuple[int, ...]


@dataclass(frozen=True)
class Rows:
    """B rows of R tokens, flat: their ids and their positions in their texts.

    `first` are the places of the texts' first tokens, `mask` says which tokens see each other, None that all do.
    `types` are the tokens' segments where texts are pairs, None where all tokens are of one.
    """

    shape: tuple[int, int]
    tokens: Tensor  # (B · R)
    positions: Tensor  # (B · R)
    first: Tensor  # (texts)
    mask: Tensor | None  # (B, 1, R, R)
    types: Tensor | None = None  # (B · R)


def lay(lengths: Sequence[int]) -> list[Row]:
    """Texts of these lengths in rows, longest first: each takes the longest of those left that still fit."""
    left = sorted(range(len(lengths)), key=lambda i: lengths[i])
    sizes = [lengths[i] for i in left]
    shortest = min(_SHORTEST, _steps(sum(lengths)))
    rows = []
    while left:
        length = max(_steps(sizes[-1]), shortest)
        row, room = [], length
        while fitting := bisect_right(sizes, room):
            room -= sizes.pop(fitting - 1)
            row.append(left.pop(fitting - 1))
        rows.append(Row(length, tuple(row)))
    return rows


def batches(rows: Sequence[Row], batch_tokens: int) -> Iterator[list[Row]]:
    """Rows of one length in batches of at most `batch_tokens` (at least one row)."""
    for length, group in groupby(rows, key=lambda row: row.length):
        alike = list(group)
        size = max(batch_tokens // length, 1)
        yield from (alike[i : i + size] for i in range(0, len(alike), size))


def fill(
    batch: Sequence[Row], texts: Sequence[Sequence[int]], device: torch.device,
    kinds: Sequence[Sequence[int]] | None = None,
) -> Rows:  # fmt: skip
    """The tokens of a batch, taken from all `texts`; their first ones in the order of the rows' texts.

    `kinds` are the token types of all texts, None where they are 0.
    """
    tokens: list[int] = []
    positions: list[int] = []
    segments: list[int] = []
    first: list[int] = []
    for row in batch:
        start = len(tokens)
        for i in row.texts:
            first.append(len(tokens))
            segments += [i] * len(texts[i])
            positions += range(len(texts[i]))
            tokens += texts[i]
        padding = [0] * (row.length - len(tokens) + start)
        tokens, positions, segments = tokens + padding, positions + padding, segments + [-1] * len(padding)
    shape = len(batch), batch[0].length
    whole = shape[0] == len(first) and -1 not in segments
    flat = torch.tensor([tokens, positions, segments], device=device)
    owner = flat[2].view(shape)
    # Padding sees padding: seeing nothing at all would make it NaN.
    mask = None if whole else (owner.unsqueeze(2) == owner.unsqueeze(1)).unsqueeze(1)
    types = None if kinds is None else torch.tensor(_kinds(batch, kinds), device=device)
    return Rows(shape, flat[0], flat[1], torch.tensor(first, device=device), mask, types)


def _kinds(batch: Sequence[Row], kinds: Sequence[Sequence[int]]) -> list[int]:
    laid: list[int] = []
    for row in batch:
        own = [kind for i in row.texts for kind in kinds[i]]
        laid += own + [0] * (row.length - len(own))
    return laid


def _steps(length: int) -> int:
    return -(-length // _STEP) * _STEP
