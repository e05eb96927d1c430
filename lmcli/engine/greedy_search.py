"""Greedy search: of each of B sources the likeliest token at every step, or the one that was drawn."""

from __future__ import annotations

import torch
from torch import Tensor

from lmcli.engine.generation_settings import GenerationSettings


class GreedySearch:
    """One sequence a source; `written` (B, 1, T), the start token first."""

    candidates = 1

    def __init__(self, settings: GenerationSettings, B: int, device: torch.device) -> None:
        self._max_tokens, self._ends = settings.max_tokens, torch.tensor(settings.eos_token_ids, device=device)
        self.written = torch.full((B, 1, 1), settings.start_token_id, device=device)

    def advance(self, log_probs: Tensor, tokens: Tensor) -> None:
        """Take the next tokens (B, 1, 1)."""
        self.written = torch.cat((self.written, tokens), -1)

    def finished(self) -> Tensor:
        """Which sources (B,) have just ended."""
        last = self.written[:, 0, -1]
        return torch.isin(last, self._ends) | (self.written.shape[2] > self._max_tokens)

    def best(self, row: int) -> list[int]:
        """What a source that has just ended has become, without the start token."""
        tokens: list[int] = self.written[row, 0, 1:].tolist()
        return tokens

    def keep(self, rows: Tensor) -> None:
        """Forget the sources that are not among `rows`."""
        self.written = self.written[rows]
