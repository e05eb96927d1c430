"""Ranking: which sentences of a text say most of it, by a graph of how alike they are.

The ranking is continuous LexRank (Erkan and Radev 2004): PageRank over the cosine of the sentences' TF-IDF vectors. The
graph has an edge for every two sentences and is never built. A step of PageRank goes over the words instead, in time
and memory that grow with the length of the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.float64]

# Measured on abstracts and their one-sentence summaries, news and Chinese abstracts and their titles: ROUGE falls on
# one of them when any of these moves.
_DAMPING = 0.85
_FIRST, _EARLY = 0.3, 0.3  # what the first sentence has ahead of the second, and any before the last
_NOVELTY = 0.3  # the share of a choice that is being unlike what was chosen (maximal marginal relevance)
_TWINS = 0.9  # as alike as this, two sentences are one said twice
_STEPS, _TOLERANCE = 100, 1e-7

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TERM = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+(?:['’-][^\W_{_CJK}]+)*")
_IS_CJK = re.compile(f"[{_CJK}]")


def select(sentences: Sequence[str], sizes: Sequence[int], budget: int, focus: str | None = None) -> list[int]:
    """The indices, ascending, of the sentences that say most and repeat one another least.

    Their `sizes` together come as near to `budget` as the next best sentence allows, unless all others say the same
    over; there is always one. With `focus`
    those that stand near its words come first; where the text has none of them it changes nothing.
    """
    if not sentences:
        return []
    graph = _Graph(sentences)
    relevance = graph.focused(focus) if focus else None
    if relevance is None:
        relevance = graph.rank(np.ones(len(sentences))) * _positions(len(sentences))
    return sorted(_diverse(graph, relevance / relevance.max(), sizes, budget))


def mentions(sentences: Sequence[str], focus: str) -> bool:
    """Whether any sentence has a word of `focus`."""
    wanted = terms(focus)
    return any(_same(term, word) for word in {word for sentence in sentences for word in terms(sentence)}
               for term in wanted)  # fmt: skip


def terms(text: str) -> list[str]:
    """The words of `text` in lower case; of Chinese and Japanese every two characters that stand together."""
    found: list[str] = []
    for word in _TERM.findall(text.lower()):
        if _IS_CJK.match(word) and len(word) > 1:
            found += [word[i : i + 2] for i in range(len(word) - 1)]
        else:
            found.append(word)
    return found


class _Graph:
    """The sentences (N) as unit TF-IDF vectors over the text's terms (V): one entry a term of a sentence."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self.vocabulary: dict[str, int] = {}
        rows, columns, counts = [], [], []
        for row, sentence in enumerate(sentences):
            for term, count in Counter(terms(sentence)).items():
                rows.append(row)
                columns.append(self.vocabulary.setdefault(term, len(self.vocabulary)))
                counts.append(count)
        self.size = len(sentences)
        self._rows, self._columns = np.array(rows, dtype=np.intp), np.array(columns, dtype=np.intp)
        sentences_with = np.bincount(self._columns, minlength=len(self.vocabulary))
        self._rarity = np.log((self.size + 1) / np.maximum(sentences_with, 1))  # (V) inverse document frequency
        self._values = self._weighed(np.array(counts, dtype=np.float64))
        self._own = self._by_row(self._values**2)  # (N) similarity to itself, 0 for a sentence without a word

    def _weighed(self, counts: Vector) -> Vector:
        """TF-IDF of every entry, divided by the length of its sentence's vector."""
        values = (1 + np.log(counts)) * self._rarity[self._columns]
        lengths = np.sqrt(self._by_row(values**2))
        return values / np.where(lengths > 0, lengths, 1)[self._rows]

    def _by_row(self, entries: Vector) -> Vector:
        return np.bincount(self._rows, entries, self.size).astype(np.float64)  # of no entry at all it makes integers

    def _like(self, weights: Vector) -> Vector:
        """(N): to each sentence the sum over all of their similarity times their `weights` (N)."""
        text = np.bincount(self._columns, self._values * weights[self._rows], len(self.vocabulary))
        return self._by_row(self._values * text[self._columns])

    def rank(self, preferred: Vector, damping: float = _DAMPING) -> Vector:
        """PageRank (N) with restarts at the `preferred` (N) sentences."""
        start = preferred / preferred.sum()
        degrees = self._like(np.ones(self.size)) - self._own
        degrees = np.where(degrees > 1e-9, degrees, np.inf)  # one that is like no other passes nothing on
        rank = start
        for _ in range(_STEPS):
            passed = rank / degrees
            moved = damping * (self._like(passed) - self._own * passed)
            before, rank = rank, moved + (1 - moved.sum()) * start
            if np.abs(rank - before).sum() < _TOLERANCE:
                break
        return rank

    def focused(self, focus: str) -> Vector | None:
        """Rank (N) with restarts at sentences that have words of `focus`; None where none has."""
        wanted = terms(focus)
        found = np.zeros(len(self.vocabulary))
        for word, column in self.vocabulary.items():
            found[column] = any(_same(term, word) for term in wanted) * self._rarity[column]
        close = self._by_row(self._values * found[self._columns])
        # Half of the weight stays at the words themselves (Otterbacher et al. 2005).
        return self.rank(close, damping=0.5) if close.any() else None

    def similarity(self, index: int) -> Vector:
        """(N): the cosine of every sentence with the one at `index`."""
        one = np.zeros(self.size)
        one[index] = 1
        return self._like(one)


def _positions(size: int) -> Vector:
    """(N): what a text says first weighs more."""
    early = 1 + _EARLY * (1 - np.arange(size) / max(size - 1, 1))
    early[0] *= 1 + _FIRST
    return early


def _diverse(graph: _Graph, relevance: Vector, sizes: Sequence[int], budget: int) -> list[int]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998) until the budget is as good as used."""
    chosen: list[int] = []
    redundancy = np.zeros(graph.size)
    used = 0
    while used < budget:
        gain = (1 - _NOVELTY) * relevance - _NOVELTY * redundancy
        gain[redundancy > _TWINS] = -np.inf
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        if np.isinf(gain[best]) or (chosen and abs(used + sizes[best] - budget) > budget - used):
            break
        chosen.append(best)
        used += sizes[best]
        redundancy = np.maximum(redundancy, graph.similarity(best))
    return chosen


def _same(term: str, word: str) -> bool:
    """Whether two words are one but for an ending: dragon, dragons."""
    short, long = sorted((term, word), key=len)
    return term == word or (len(short) > 2 and len(long) - len(short) <= 2 and long.startswith(short))
