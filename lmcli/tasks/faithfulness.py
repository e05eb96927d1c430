"""Faithfulness: whether the words that are said to carry a label do, by taking them away (comprehensiveness of DeYoung
et al. 2020, arXiv:1911.03429, beside what as many random words do)."""

from __future__ import annotations

import random
from dataclasses import replace

from lmcli.explanations import Explanation, Faithfulness
from lmcli.tasks.judging import Judge
from lmcli.tasks.occlusion import Span, without

_SHARE = 0.2  # of the words are taken away
_DRAWS = 8  # of random words
_SEED = 0


def checked(judge: Judge, found: Explanation, score: float) -> Explanation:
    """`found` with what becomes of its label, whose probability is `score`, without the words that weigh the most.

    Of a text with fewer than two words, or one longer than the judge's room, nothing is said.
    """
    if len(found.words) < 2 or judge.size(found.text) > judge.room:
        return found
    heaviest = sorted(found.words, key=lambda word: -word.weight)
    count = max(round(_SHARE * len(heaviest)), 1)
    spans = [(word.start, word.end) for word in heaviest]
    draw = random.Random(_SEED)
    removed: list[list[Span]] = [spans[:count], *(draw.sample(spans, count) for _ in range(_DRAWS))]
    judged = judge.judge([without(found.text, each) for each in removed])
    first, *others = [each.scores.get(found.label, 0.0) for each in judged]
    return replace(found, faithfulness=Faithfulness(count, score, first, sum(others) / len(others)))
