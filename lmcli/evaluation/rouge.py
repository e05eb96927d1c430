"""ROUGE: how many words, pairs of words, and words in the same order a summary shares with its reference.

ROUGE-1, ROUGE-2 and ROUGE-L as F1 (Lin 2004, ACL W04-1013). In English the figures are those of Google's rouge-score;
Chinese and Japanese are measured in characters, other languages in words of any alphabet. A text's lines are no bounds
to ROUGE-L.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lmcli.evaluation.bootstrap import Means, whole
from lmcli.evaluation.porter import stem

NAMES = ("rouge1", "rouge2", "rougeL")
_ENGLISH = re.compile("[a-z0-9]+")
_WORD = re.compile(r"\w+")
# A character of Chinese or Japanese is a token of its own; a run of other letters and digits is one.
_IDEOGRAPHS = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHARACTER = re.compile(rf"[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+")
_UNITS = {"characters": _CHARACTER, "words": _WORD, "english-words": _ENGLISH}
Tokens = Sequence[str]


@dataclass(frozen=True)
class RougeFigures:
    """Means over a set, 0 to 1."""

    rouge1: float
    rouge2: float
    rougeL: float
    n: int


def measure(
    summaries: Sequence[str], references: Sequence[Sequence[str]], language: str | None = "en", stemming: bool = True
) -> RougeFigures:
    """The figures of summaries in `language` (ISO 639-1), each against its one or more references, the best counting.

    With `stemming` English words are compared without their endings. Raises ValueError where the numbers differ.
    """
    return RougeScores(summaries, references, language, stemming).measured


class RougeScores(Means):
    """The three F1 of each summary (n, 3), as bootstrap.Scores."""

    def __init__(
        self, summaries: Sequence[str], references: Sequence[Sequence[str]], language: str | None = "en",
        stemming: bool = True,
    ) -> None:  # fmt: skip
        cut = tokenizer(language, stemming)
        pairs = zip(summaries, references, strict=True)
        values = [_best(cut(text), map(cut, own)) for text, own in pairs]
        super().__init__(NAMES, np.array(values, dtype=float).reshape(-1, 3))

    @property
    def measured(self) -> RougeFigures:
        """The figures of the whole set."""
        return RougeFigures(**whole(self), n=len(self))


def unit_of(language: str | None, stemming: bool) -> str:
    """What texts of `language` are compared by, in a word for a signature."""
    code = (language or "en").split("-")[0]
    if code in ("zh", "ja"):
        return "characters"
    if code != "en":
        return "words"
    return "english-stems" if stemming else "english-words"


def tokenizer(language: str | None, stemming: bool) -> Callable[[str], list[str]]:
    """What cuts a text of `language` into what is compared."""
    unit = unit_of(language, stemming)
    if unit in _UNITS:
        return lambda text: _UNITS[unit].findall(text.lower())
    # rouge-score leaves words of up to three letters as they are.
    return lambda text: [stem(word) if len(word) > 3 else word for word in _ENGLISH.findall(text.lower())]


def _best(summary: Tokens, references: Iterable[Tokens]) -> tuple[float, ...]:
    """Each of the three against the reference that suits it best."""
    each = [(_of_runs(summary, own, 1), _of_runs(summary, own, 2), _of_order(summary, own)) for own in references]
    return tuple(map(max, zip(*each, strict=True)))


def _of_runs(summary: Tokens, reference: Tokens, n: int) -> float:
    found, wanted = _runs(summary, n), _runs(reference, n)
    return _f1((found & wanted).total(), found.total(), wanted.total())


def _runs(tokens: Tokens, n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(islice(tokens, i, None) for i in range(n)), strict=False))


def _of_order(summary: Tokens, reference: Tokens) -> float:
    return _f1(common_subsequence(summary, reference), len(summary), len(reference))


def common_subsequence(left: Tokens, right: Tokens) -> int:
    """The length of the longest common subsequence, a row of the table in one number's bits (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for i, token in enumerate(right):
        places[token] = places.get(token, 0) | 1 << i
    whole = (1 << len(right)) - 1
    row = whole  # A bit is 0 where the longest grows by one.
    for token in left:
        matched = row & places.get(token, 0)
        row = (row + matched | row - matched) & whole
    return len(right) - row.bit_count()


def _f1(shared: int, found: int, wanted: int) -> float:
    return 2 * shared / (found + wanted) if shared else 0.0
