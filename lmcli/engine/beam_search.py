"""Beam search: of B sources the W likeliest continuations at every step, and the best of those that have ended.

The rules are those of transformers 5, to the letter, so that a checkpoint's own settings mean here what they mean there
(Wu et al. 2016, arXiv:1609.08144, section 7, for the penalty of short sentences).
"""

from __future__ import annotations

import torch
from torch import Tensor

from lmcli.engine.generation_settings import GenerationSettings

_NEVER = -1e9  # the log-likelihood of what has not happened


class BeamSearch:
    """The W beams of each of some sources, and what of them has ended.

    `written` (B, W, T) are the running beams, the start token first.
    """

    def __init__(self, settings: GenerationSettings, B: int, device: torch.device) -> None:
        W = settings.num_beams
        self._settings, self._ends = settings, torch.tensor(settings.eos_token_ids, device=device)
        self.written = torch.full((B, W, 1), settings.start_token_id, device=device)
        # All beams begin alike: let the first one alone branch out.
        self._scores = torch.full((B, W), _NEVER, device=device)
        self._scores[:, 0] = 0.0
        self._ended = torch.zeros((B, W, settings.max_tokens), dtype=torch.long, device=device)
        self._ended_lengths = torch.zeros((B, W), dtype=torch.long, device=device)
        self._ended_scores = torch.full((B, W), _NEVER, device=device)
        self._has_ended = torch.zeros((B, W), dtype=torch.bool, device=device)

    @property
    def candidates(self) -> int:
        """How many tokens a beam must propose: even if the best ones all end it, W must remain to go on."""
        return max(2, 1 + len(self._settings.eos_token_ids)) * self._settings.num_beams

    def advance(self, log_probs: Tensor, tokens: Tensor) -> Tensor:
        """Take the next tokens from what each beam proposes (B, W, k); which beam each new one follows (B, W)."""
        W, k = tokens.shape[1:]
        scores, places = (log_probs + self._scores.unsqueeze(-1)).flatten(1).topk(self.candidates, -1)  # (B, C)
        parents, tokens = places // k, tokens.flatten(1).gather(1, places)
        T = self.written.shape[2]
        written = torch.cat((_rows(self.written, parents), tokens.unsqueeze(-1)), -1)  # (B, C, T + 1)
        ends = torch.isin(tokens, self._ends) | (self._settings.max_tokens <= T)
        self._end(written, scores / T**self._settings.length_penalty, ends)
        running = (scores + ends * _NEVER).topk(W, -1).indices
        self.written = _rows(written, running)
        self._scores = (scores + ends * _NEVER).gather(1, running)
        return parents.gather(1, running)

    def finished(self) -> Tensor:
        """Which sources (B,) have their answer: no running beam may or can replace it any more."""
        T = self.written.shape[2] - 1
        settings = self._settings
        if settings.max_tokens <= T:
            return torch.ones(len(self.written), dtype=torch.bool, device=self.written.device)
        full = self._has_ended.all(-1)
        if settings.early_stopping is True:
            return full | self._hopeless(T)
        to_the_end = settings.early_stopping == "never" and settings.length_penalty > 0
        return self._hopeless(settings.max_tokens if to_the_end else T)

    def best(self, row: int) -> list[int]:
        """The answer of a source, without the start token."""
        tokens: list[int] = self._ended[row, 0, : self._ended_lengths[row, 0]].tolist()
        return tokens

    def keep(self, rows: Tensor) -> None:
        """Forget the sources that are not among `rows`."""
        self.written, self._scores = self.written[rows], self._scores[rows]
        self._ended, self._ended_lengths = self._ended[rows], self._ended_lengths[rows]
        self._ended_scores, self._has_ended = self._ended_scores[rows], self._has_ended[rows]

    def _hopeless(self, length: int) -> Tensor:
        """Where the best running beam, were it to end at `length`, would be no better than any that has ended."""
        worst = self._ended_scores.amin(-1).where(self._has_ended.all(-1), _NEVER)
        return self._scores[:, 0] / length**self._settings.length_penalty <= worst

    def _end(self, written: Tensor, scores: Tensor, ends: Tensor) -> None:
        """Put those of the W best candidates that end among what has ended, and keep the W best of it."""
        W, T = self._ended.shape[1], written.shape[2] - 1
        ends, scores = ends[:, :W], scores[:, :W]
        merged = torch.cat((self._ended_scores, scores.where(ends, 2 * _NEVER)), -1)
        self._ended_scores, kept = merged.topk(W, -1)
        tokens = torch.zeros_like(self._ended)
        tokens[..., :T] = written[:, :W, 1:]
        self._ended = _rows(torch.cat((self._ended, tokens), 1), kept)
        lengths = torch.full_like(self._ended_lengths, T)
        self._ended_lengths = torch.cat((self._ended_lengths, lengths), 1).gather(1, kept)
        self._has_ended = torch.cat((self._has_ended, ends), 1).gather(1, kept)


def _rows(values: Tensor, places: Tensor) -> Tensor:
    """values[b, places[b, i]] for (B, N, T) and (B, n): (B, n, T)."""
    return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
