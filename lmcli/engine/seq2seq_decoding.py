"""Decoding a batch of sources: encode them once, then a token for every beam a step, until all have ended."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lmcli.engine.beam_search import BeamSearch
from lmcli.engine.constraints import find_bans
from lmcli.engine.encoder_decoder import EncoderDecoder
from lmcli.engine.generation_settings import GenerationSettings
from lmcli.engine.greedy_search import GreedySearch
from lmcli.engine.output_head import Best, OutputHead
from lmcli.engine.rewriting import Clock
from lmcli.engine.sampling import Sampler, penalize
from lmcli.engine.seq2seq_cache import BeamMask, Seq2SeqCache

_DROP = 0.25  # Of a batch's sources so many must have ended before it is made smaller: that copies the cache.


class Search(Protocol):
    """How the next tokens are chosen from what is likely; see BeamSearch and GreedySearch."""

    written: Tensor

    @property
    def candidates(self) -> int: ...
    def advance(self, log_probs: Tensor, tokens: Tensor) -> Tensor | None: ...
    def finished(self) -> Tensor: ...
    def best(self, row: int) -> list[int]: ...
    def keep(self, rows: Tensor) -> None: ...


def decode(
    module: EncoderDecoder, propose: Proposer, batch: list[list[int]], settings: GenerationSettings, clock: Clock
) -> list[list[int]]:
    """What the model writes for each source, without the start token."""
    device, W = module.shared.weight.device, settings.num_beams
    tokens, mask = pad(batch, module.config.pad_token_id, device)
    source = module.encode(tokens, mask)
    kind = BeamSearch if W > 1 else GreedySearch
    search: Search = kind(settings, len(batch), device)
    keys = source.layers[0]
    cache = Seq2SeqCache(len(source.layers), (len(batch), W), (keys.shape[3], keys.shape[4]), keys)
    beams = BeamMask(len(batch), W, device)
    rows, answers = list(range(len(batch))), dict[int, list[int]]()
    while rows:
        hidden = module.step(search.written[:, :, -1], cache, source, beams.token())
        best = propose(hidden, search.written.flatten(0, 1), search.candidates, rows)
        parents = search.advance(*(part.view(len(rows), W, -1) for part in best))
        clock.token()
        if parents is not None:
            beams.follow(parents)
        for place in search.finished().nonzero()[:, 0].tolist():
            # One that has ended is written on until it is dropped; its answer is the first.
            answers.setdefault(rows[place], search.best(place))
        left = [place for place, row in enumerate(rows) if row not in answers]
        if len(left) <= (1 - _DROP) * len(rows):
            kept = torch.tensor(left, dtype=torch.long, device=device)
            rows, source = [rows[place] for place in left], source.keep(kept)
            for part in (cache, beams, search):
                part.keep(kept)
    return [answers[row] for row in range(len(batch))]


class Proposer:
    """Proposes the next tokens of each row: the likeliest ones that `settings` allow, or with `samplers`, one for each
    source, a token that was drawn."""

    def __init__(self, head: OutputHead, settings: GenerationSettings, samplers: list[Sampler] | None = None) -> None:
        self._head, self._settings, self._samplers = head, settings, samplers

    def __call__(self, x: Tensor, written: Tensor, k: int, sources: list[int]) -> Best:
        """`k` proposals for each of R hidden states x (R, hidden) behind the sequences `written` (R, T)."""
        settings = self._settings
        if written.shape[1] == 1 and settings.forced_first_token is not None:
            return _forced(settings.forced_first_token, len(x), k, x.device)
        bans = find_bans(settings, written)
        if self._samplers is None and settings.repetition_penalty == 1.0:
            return self._head.best(x, k, bans, settings.renormalize, sums=settings.num_beams > 1)
        logits = self._head.logits(x)
        if self._samplers is not None:
            bans.apply(logits)
            drawn = [self._samplers[source](row) for source, row in zip(sources, logits, strict=True)]
            return Best(torch.zeros(len(x), 1), torch.tensor(drawn, device=x.device).unsqueeze(-1))
        scores = logits.log_softmax(-1) if settings.num_beams > 1 else logits
        pairs = zip(scores, written, strict=True)
        scores = torch.stack([penalize(row, said.unique(), settings.repetition_penalty) for row, said in pairs])
        bans.apply(scores)
        return Best(*(scores.log_softmax(-1) if settings.renormalize else scores).topk(k, -1))


def pad(batch: list[list[int]], token: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Sequences as one tensor (B, T), and where it is not padding."""
    longest = max(map(len, batch))
    tokens = torch.tensor([[*row, *[token] * (longest - len(row))] for row in batch], device=device)
    lengths = torch.tensor([len(row) for row in batch], device=device)
    return tokens, torch.arange(longest, device=device) < lengths.unsqueeze(-1)


def _forced(token: int, R: int, k: int, device: torch.device) -> Best:
    """One certain token, and nothing else that is possible."""
    log_probs = torch.full((R, k), -torch.inf, device=device)
    log_probs[:, 0] = 0.0
    return Best(log_probs, torch.full((R, k), token, device=device))
