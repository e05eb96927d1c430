"""Constraints: which tokens a checkpoint's generation settings forbid at a step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lmcli.engine.generation_settings import GenerationSettings


@dataclass(frozen=True)
class Bans:
    """Tokens no row may choose, and pairs of a row and a token that it alone may not."""

    everywhere: tuple[int, ...] = ()
    rows: Tensor | None = None
    tokens: Tensor | None = None

    def apply(self, logits: Tensor, start: int = 0) -> None:
        """Put -inf into `logits` (R, N), which are those of the tokens from `start` on."""
        N = logits.shape[-1]
        for token in self.everywhere:
            if start <= token < start + N:
                logits[:, token - start] = -torch.inf
        if self.rows is not None and self.tokens is not None:
            here = (self.tokens >= start) & (self.tokens < start + N)
            logits[self.rows[here], self.tokens[here] - start] = -torch.inf


def find_bans(settings: GenerationSettings, written: Tensor) -> Bans:
    """What may not follow each of the sequences `written` (R, T), start token included."""
    everywhere = tuple(word[0] for word in settings.bad_words if len(word) == 1)
    if written.shape[1] - 1 < settings.min_tokens:
        everywhere += settings.eos_token_ids
    pairs = [_after(written, word) for word in settings.bad_words if 1 < len(word) <= written.shape[1] + 1]
    if 0 < settings.no_repeat_ngram_size <= written.shape[1]:
        pairs.append(_repeating(written, settings.no_repeat_ngram_size))
    if not pairs:
        return Bans(everywhere)
    rows, tokens = (torch.cat(part) for part in zip(*pairs, strict=True))
    return Bans(everywhere, rows, tokens)


def _after(written: Tensor, word: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The rows that end in all but the last token of `word`, and that last token for each."""
    beginning = torch.tensor(word[:-1], device=written.device)
    rows = (written[:, -len(beginning) :] == beginning).all(-1).nonzero()[:, 0]
    return rows, torch.full_like(rows, word[-1])


def _repeating(written: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Each row, and each token that would end a sequence of `size` tokens which the row has already."""
    sequences = written.unfold(1, size, 1)  # (R, T - size + 1, size)
    ending = written[:, written.shape[1] + 1 - size :].unsqueeze(1)
    rows, places = (sequences[..., :-1] == ending).all(-1).nonzero(as_tuple=True)
    return rows, sequences[rows, places, -1]
