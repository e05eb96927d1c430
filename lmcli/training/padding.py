"""Padding: rows of tokens as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pad(rows: Sequence[Sequence[int]], value: int, left: bool = False) -> Tensor:
    """The rows as (rows, longest), filled up with `value` behind, or in front where `left`."""
    padded = torch.full((len(rows), max(map(len, rows))), value, dtype=torch.long)
    for i, row in enumerate(rows):
        here = slice(padded.shape[1] - len(row), None) if left else slice(0, len(row))
        padded[i, here] = torch.as_tensor(row)
    return padded
