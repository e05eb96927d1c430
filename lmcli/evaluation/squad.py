"""Question answering as SQuAD and CMRC 2018 measure it: exact match and F1 of an answer, the best over all references.

English follows SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250), Chinese CMRC 2018 (Cui et al. 2019, arXiv:1810.07366).
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
# A Chinese character is a token of its own, a run of anything else up to a space is one.
_MIXED = re.compile("[\u4e00-\u9fff]|[^\\s\u4e00-\u9fff]+")


def exact_match(answer: str, references: Sequence[str], chinese: bool = False) -> bool:
    """Whether the answer is one of the references, but for case, punctuation and articles."""
    normalize = _normalized_chinese if chinese else _normalized
    return any(normalize(answer) == normalize(reference) for reference in references)


def f1(answer: str, references: Sequence[str], chinese: bool = False) -> float:
    """How much answer and reference share, 0 to 1: words in any order, in Chinese the longest common run."""
    measure = _run_f1 if chinese else _word_f1
    return max((measure(answer, reference) for reference in references), default=0.0)


def _normalized(text: str) -> str:
    text = _ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION))
    return " ".join(text.split())


def _normalized_chinese(text: str) -> str:
    # The official script lists the marks; by their category none is forgotten.
    kept = (c for c in text.lower() if not c.isspace() and unicodedata.category(c)[0] not in "PS")
    return "".join(kept)


def _word_f1(answer: str, reference: str) -> float:
    found, wanted = _normalized(answer).split(), _normalized(reference).split()
    if not found or not wanted:
        return float(found == wanted)
    return _f1((Counter(found) & Counter(wanted)).total(), len(found), len(wanted))


def _run_f1(answer: str, reference: str) -> float:
    found, wanted = (_chinese_tokens(text) for text in (answer, reference))
    return _f1(_longest_run(found, wanted), len(found), len(wanted))


def _chinese_tokens(text: str) -> list[str]:
    without = "".join(" " if unicodedata.category(c)[0] in "PS" else c for c in text.lower())
    return _MIXED.findall(without)


def _longest_run(left: Sequence[str], right: Sequence[str]) -> int:
    """The length of the longest stretch of tokens that both have."""
    longest, before = 0, [0] * (len(right) + 1)
    for token in left:
        row = [0] * (len(right) + 1)
        for j, other in enumerate(right):
            if token == other:
                row[j + 1] = before[j] + 1
                longest = max(longest, row[j + 1])
        before = row
    return longest


def _f1(shared: int, found: int, wanted: int) -> float:
    return 2 * shared / (found + wanted) if shared else 0.0
