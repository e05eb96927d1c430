"""Spans: of the logits of every window of some texts, the likeliest answers and how likely none is.

A window is a stretch of a text behind the question. Windows overlap, and each token belongs to that one in which it
has the most context. Probabilities are normalized over all windows together: a window without the answer would else be
as sure of its best span as the one that holds it (Clark and Gardner 2018, arXiv:1710.10723).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from lmcli.protocols import Found
from lmcli.text.bm25 import is_unspaced

_LONGEST = 50  # tokens of an answer; in Chinese a token is a character
_MOST = 20  # spans of a window for each answer asked for: the likeliest overlap


@dataclass(frozen=True)
class Window:
    """C tokens of the text number `text`, the first of them its token number `first`.

    `offsets` are their characters in the text, `starts` and `ends` (C) their logits in fp32, and `nothing` the two
    logits of the first special token, which stand for no answer.
    """

    text: int
    first: int
    offsets: Sequence[tuple[int, int]]
    starts: Tensor
    ends: Tensor
    nothing: tuple[float, float]


def cut(tokens: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """Where the windows of a text of `tokens` begin and end: each holds `room`, `overlap` of which it shares."""
    step = max(room - min(overlap, room // 2), 1)
    firsts = [0]
    while firsts[-1] + room < tokens:
        firsts.append(firsts[-1] + step)
    return [(first, min(first + room, tokens)) for first in firsts]


def answers(windows: Sequence[Window], texts: Sequence[str], top: int) -> tuple[list[Found], float]:
    """The `top` likeliest spans, no two of which overlap, and the probability of none.

    Windows of one text follow each other. What says least for no answer among them speaks for all (Rajpurkar et al.
    2018, arXiv:1806.03822).
    """
    windows = [window for window in windows if len(window.offsets)]
    if not windows:
        return [], 1.0
    nothing = min((window.nothing for window in windows), key=sum)
    own = [(window, *owned) for window, owned in zip(windows, _owned(windows), strict=True)]
    over_starts = _normalizer([window.starts[first:end] for window, first, end in own], nothing[0])
    over_ends = _normalizer([window.ends[first:end] for window, first, end in own], nothing[1])
    total = over_starts + over_ends
    spans = [span for window, first, end in own for span in _spans(window, first, end, top)]
    best = _apart(sorted(spans, key=lambda span: -span.score), texts, top)
    found = [replace(span, score=_probability(span.score - total)) for span in best]
    return found, _probability(sum(nothing) - total)


def _owned(windows: Sequence[Window]) -> Iterator[tuple[int, int]]:
    """For each window the tokens that belong to it, of its own count: they part in the middle of what two share."""
    for _, group in groupby(windows, key=lambda window: window.text):
        alike = list(group)
        ends = [window.first + len(window.offsets) for window in alike]
        middles = [(window.first + end + 1) // 2 for window, end in zip(alike[1:], ends, strict=False)]
        for window, first, end in zip(alike, [0, *middles], [*middles, ends[-1]], strict=True):
            yield first - window.first, end - window.first


def _normalizer(logits: list[Tensor], nothing: float) -> float:
    return float(torch.cat([*logits, logits[0].new_tensor([nothing])]).logsumexp(0))


def _spans(window: Window, first: int, end: int, top: int) -> Iterator[Found]:
    """The likeliest spans that begin at the window's tokens from `first` to `end`, with their logits' sums."""
    scores = window.starts[first:end, None] + window.ends[None, :]  # (own, C)
    begins = torch.arange(first, end, device=scores.device)[:, None]
    closes = torch.arange(scores.shape[1], device=scores.device)[None, :]
    scores = scores.masked_fill((closes < begins) | (closes >= begins + _LONGEST), -torch.inf)
    values, places = scores.flatten().topk(min(_MOST * top, scores.numel()))
    for value, place in zip(values.tolist(), places.tolist(), strict=True):
        if value > -torch.inf:
            begin, close = first + place // scores.shape[1], place % scores.shape[1]
            yield Found(window.text, window.offsets[begin][0], window.offsets[close][1], value)


def _apart(spans: Sequence[Found], texts: Sequence[str], top: int) -> list[Found]:
    """The first `top` of `spans` that neither overlap one before them nor are empty, whole words each."""
    found: list[Found] = []
    for span in spans:
        whole = _whole_words(span, texts[span.text])
        taken = (one for one in found if one.text == whole.text)
        if whole.start < whole.end and all(one.end <= whole.start or whole.end <= one.start for one in taken):
            found.append(whole)
        if len(found) == top:
            break
    return found


def _whole_words(span: Found, text: str) -> Found:
    """Half a word is no answer; and tokens bring the space before them along."""
    piece = text[span.start : span.end]
    start, end = span.start + len(piece) - len(piece.lstrip()), span.start + len(piece.rstrip())
    while 0 < start < end and _joined(text[start - 1], text[start]):
        start -= 1
    while start < end < len(text) and _joined(text[end - 1], text[end]):
        end += 1
    return replace(span, start=start, end=end)


def _joined(left: str, right: str) -> bool:
    return left.isalnum() and right.isalnum() and not is_unspaced(left) and not is_unspaced(right)


def _probability(logarithm: float) -> float:
    return min(float(torch.tensor(logarithm).exp()), 1.0)
