"""BM25: which of many passages speak of what a question asks (Robertson and Zaragoza 2009)."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

_K1, _B = 1.2, 0.75  # how soon a repeated term counts no more, and how much a long passage is held against it
# Written without spaces between words, or with endings that a space does not part (Korean).
_UNSPACED = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\uac00-\ud7af\u0e00-\u0eff\u1000-\u109f"
    "\u1780-\u17ff\U00020000-\U0003ffff"
)
_RUN = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|[^\W_{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_MARKS = re.compile("[\u0300-\u036f]")
_VOWELS = frozenset("aeiouy")


class Index:
    """The terms of some passages, to be asked how well each answers a query."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._counts = [Counter(terms(passage)) for passage in passages]
        self._lengths = [counts.total() for counts in self._counts]
        self._mean = max(sum(self._lengths) / max(len(passages), 1), 1.0)
        self._holding = Counter(term for counts in self._counts for term in counts)

    def scores(self, query: str | Mapping[str, float]) -> list[float]:
        """The score of each passage, 0 where it shares no term; `query` is a text, or terms with their weights."""
        weights = Counter(terms(query)) if isinstance(query, str) else query
        known = {term: weight * self._rarity(term) for term, weight in weights.items() if term in self._holding}
        return [self._score(known, i) for i in range(len(self._counts))]

    def shares(self, query: Mapping[str, float]) -> list[float]:
        """How much of a query's weight each passage holds, rare terms counting more: 1 where it has every term."""
        weights = {term: weight * self._rarity(term) for term, weight in query.items()}
        total = sum(weights.values()) or 1.0
        return [sum(weight for term, weight in weights.items() if term in counts) / total for counts in self._counts]

    def _score(self, weights: Mapping[str, float], i: int) -> float:
        counts = self._counts[i]
        dampened = _K1 * (1 - _B + _B * self._lengths[i] / self._mean)
        return sum(
            weight * counts[term] * (_K1 + 1) / (counts[term] + dampened)
            for term, weight in weights.items()
            if term in counts
        )

    def _rarity(self, term: str) -> float:
        """A term that half of the passages hold says nothing; it is kept above 0, as Lucene does."""
        holding = self._holding[term]
        return math.log(1 + (len(self._counts) - holding + 0.5) / (holding + 0.5))


def is_unspaced(character: str) -> bool:
    """Whether no space stands between words of the character's script, or more than a word between two spaces."""
    return bool(_IS_UNSPACED.match(character))


def terms(text: str) -> Iterator[str]:
    """Words without case, accents and common English endings; pairs of characters where no space parts words."""
    for run in _RUN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        found = run[0]
        if not run["unspaced"]:
            yield stem(_MARKS.sub("", unicodedata.normalize("NFKD", found)))
        elif len(found) == 1:
            yield found
        else:
            yield from (found[i : i + 2] for i in range(len(found) - 1))


def stem(word: str) -> str:
    """An English word less the endings -s, -ed and -ing: light enough to leave other languages' words apart."""
    word = _singular(word)
    for ending in ("ing", "ed"):
        bare = word.removesuffix(ending)
        if bare != word and len(bare) > 2 and _VOWELS & set(bare):
            return bare[:-1] if bare[-1] == bare[-2] and bare[-1] not in "lsz" else bare
    return word.removesuffix("e") if len(word) > 4 else word


def _singular(word: str) -> str:
    """Harman's S stemmer (1991): -ies to -y, -s dropped, but neither -us nor -ss."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and word[-2] not in "us":
        return word[:-1]
    return word
