"""The output head: hidden states to the few best of a large vocabulary, without writing down all logits.

With 60 thousand tokens and hundreds of rows the logits are as many numbers as the model has weights, and finding the
best of them in memory takes longer than computing them. So they are made a piece of the vocabulary at a time, while it
lies in the processor's cache, and of each piece only the best are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lmcli.engine.constraints import Bans
from lmcli.engine.int8 import Int8Linear

_PIECE = 4096  # tokens of the vocabulary at a time
_BLOCK = 64  # tokens; the best of each are compared first
_SPARE = 8  # tokens more than are asked for are taken from int8 logits, which may be off by a few places


class Best(NamedTuple):
    """The k likeliest tokens of each row (R, k) with their log-probabilities, in fp32, best first."""

    log_probs: Tensor
    tokens: Tensor


class OutputHead:
    """Logits of hidden states (R, hidden) over a vocabulary with embedding `weight` (V, hidden) and `bias` (V,).

    With `int8` the best are found with int8 weights and then weighed with the true ones: nothing but the sum over the
    whole vocabulary is computed in int8.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, scale: float, int8: bool) -> None:
        self._weight, self._bias, self._scale = weight, bias, scale
        piece = _PIECE if weight.device.type == "cpu" else len(weight)
        self._starts = range(0, len(weight), piece)
        biases = [None] * len(self._starts) if bias is None else bias.split(piece)
        self._pieces = [_product(w, b, int8) for w, b in zip(weight.split(piece), biases, strict=True)]
        self._spare = _SPARE if int8 else 0

    def logits(self, x: Tensor) -> Tensor:
        """All logits (R, V) in fp32."""
        return _linear(x * self._scale, self._weight, self._bias)

    def best(self, x: Tensor, k: int, bans: Bans, renormalize: bool, sums: bool) -> Best:
        """The `k` likeliest tokens that are not banned. Probabilities are among all tokens, or with `renormalize` among
        those not banned; without `sums` logits stand for them."""
        x = x * self._scale if self._scale != 1.0 else x
        k, n = min(k, len(self._weight)), min(k + self._spare, len(self._weight))
        values, tokens, totals = [], [], [torch.zeros(len(x), 1, device=x.device)] if not sums else []
        for start, product in zip(self._starts, self._pieces, strict=True):
            logits = product(x)  # (R, piece)
            if sums and not renormalize:
                totals.append(_log_sum(logits, torch.zeros(len(x), 1, dtype=torch.long, device=x.device)))
            bans.apply(logits, start)
            value, token = top(logits, min(n, logits.shape[-1]))
            if sums and renormalize:
                totals.append(_log_sum(logits, token[:, :1]))
            values.append(value)
            tokens.append(token + start)
        value, place = torch.cat(values, -1).topk(n, -1)
        token = torch.cat(tokens, -1).gather(-1, place)
        if self._spare:
            value, token = self._weigh(x, value, token, k)
        return Best(value - torch.cat(totals, -1).logsumexp(-1, keepdim=True), token)

    def _weigh(self, x: Tensor, value: Tensor, token: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k best of some tokens (R, n) by their true logits."""
        true = torch.bmm(self._weight[token].float(), x.unsqueeze(-1)).squeeze(-1)
        if self._bias is not None:
            true += self._bias[token]
        value, place = true.where(value > -torch.inf, value).topk(k, -1)
        return value, token.gather(-1, place)


def top(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """torch.topk over the last dimension of (R, N), five times as fast on a CPU where N is large.

    The k largest lie in the k blocks with the largest maxima, and maxima are found many at a time.
    """
    R, N = values.shape
    whole = N // _BLOCK * _BLOCK
    if values.device.type != "cpu" or whole < 4 * k * _BLOCK:
        return values.topk(k, -1)
    blocks = values[:, :whole].view(R, -1, _BLOCK) if whole == N else values[:, :whole].unflatten(-1, (-1, _BLOCK))
    chosen = blocks.amax(-1).topk(k, -1, sorted=False).indices  # (R, k)
    places = (chosen.unsqueeze(-1) * _BLOCK + torch.arange(_BLOCK)).flatten(1)
    if whole < N:
        places = torch.cat((places, torch.arange(whole, N).expand(R, -1)), -1)
    value, place = values.gather(-1, places).topk(k, -1)
    return value, places.gather(-1, place)


def _log_sum(logits: Tensor, at: Tensor) -> Tensor:
    """The logarithm of the sum of exponentials (R, 1), through the share of one column `at` (R, 1) that is not -inf
    unless all are: log_softmax is one pass, logsumexp five."""
    value = logits.gather(-1, at)
    return (value - logits.log_softmax(-1).gather(-1, at)).where(value > -torch.inf, value)


def _product(weight: Tensor, bias: Tensor | None, int8: bool) -> Callable[[Tensor], Tensor]:
    if int8:
        return Int8Linear(weight, bias)
    return lambda x: _linear(x, weight, bias)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y = F.linear(x.to(weight.dtype), weight).float()
    return y if bias is None else y.add_(bias)
