"""Attention masks: who of the last T of S tokens may look at whom."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def attention_masks(T: int, S: int, windows: Sequence[int | None], device: torch.device) -> tuple[Tensor | None, bool]:
    """Masks (W, T, S), one a window, and whether attention is plainly causal; None where no mask is needed.

    A GPU needs none for the last T of S tokens either, see attention.

    `windows` are numbers of tokens, itself included, that a token may look back on; None is all of them.
    """
    if all(window is None or window >= S for window in windows) and (T in (1, S) or device.type == "cuda"):
        return None, T > 1
    query = torch.arange(S - T, S, device=device).unsqueeze(1)
    key = torch.arange(S, device=device)
    causal = key <= query
    return torch.stack([causal & (key > query - (window or S)) for window in windows]), False
