"""Sampling: turn logits (V,) into the next token.

What a grammar forbids is taken out first. The filters come in transformers' order: repetition penalty, temperature,
top-k, top-p, min-p.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

from lmcli.types import SamplingParams


class Sampler:
    """Draws tokens by `params`; `prompt` counts as already said for the repetition penalty."""

    def __init__(self, params: SamplingParams, prompt: Sequence[int], device: torch.device) -> None:
        self._params = params
        self._said = torch.tensor(sorted(set(prompt)), dtype=torch.long, device=device)
        self._generator = torch.Generator(device)
        if params.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(params.seed)

    def __call__(self, logits: Tensor) -> int:
        """The next token after fp32 `logits` (V,)."""
        params = self._params
        if params.repetition_penalty != 1.0:
            logits = penalize(logits, self._said, params.repetition_penalty)
        if params.temperature == 0.0:
            token = logits.argmax()
        else:
            probabilities = filter_logits(logits / params.temperature, params).softmax(-1)
            # As torch.multinomial draws, less its checks, for each of which a GPU would be waited for.
            token = (probabilities / torch.empty_like(probabilities).exponential_(generator=self._generator)).argmax()
        if params.repetition_penalty != 1.0:
            self._said = torch.cat((self._said, token.view(1)))
        return int(token)


def keep_allowed(logits: Tensor, allowed: bytes) -> Tensor:
    """-inf for every token whose bit is not set in `allowed`, the lowest of a byte first; it may have more or fewer."""
    # torch has nothing that unpacks bits. What numpy fills up with zeros are rows that only pad the embedding.
    bits = numpy.unpackbits(numpy.frombuffer(allowed, numpy.uint8), count=logits.numel(), bitorder="little")
    return logits.masked_fill(~torch.from_numpy(bits).view(torch.bool).to(logits.device), -torch.inf)


def penalize(logits: Tensor, said: Tensor, penalty: float) -> Tensor:
    """Divide the logits of tokens already said (Keskar et al. 2019, arXiv:1909.05858)."""
    chosen = logits[said]
    return logits.index_put((said,), torch.where(chosen < 0, chosen * penalty, chosen / penalty))


def filter_logits(logits: Tensor, params: SamplingParams) -> Tensor:
    """-inf for every token that top-k, top-p or min-p leaves out."""
    if 0 < params.top_k < logits.numel():
        logits = logits.masked_fill(logits < logits.topk(params.top_k).values[-1], -torch.inf)
    if params.top_p < 1.0:
        ordered, order = logits.sort(descending=True)
        mass_before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        left_out = mass_before >= params.top_p
        left_out[0] = False  # Even --top-p 0 keeps the likeliest.
        logits = logits.masked_fill(torch.zeros_like(left_out).scatter(0, order, left_out), -torch.inf)
    if params.min_p > 0.0:
        probabilities = logits.softmax(-1)
        logits = logits.masked_fill(probabilities < params.min_p * probabilities.max(), -torch.inf)
    return logits
