"""Occlusion: which words carry a label, by how much less likely it is without each (Zeiler & Fergus 2014,
arXiv:1311.2901). It asks nothing of a judge but its judgement, so it works with every kind of checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from lmcli.explanations import Explanation, Method, Weight
from lmcli.tasks.judging import Judge, pieces
from lmcli.text.chinese import words
from lmcli.text.segment import sentences
from lmcli.types import Label

METHOD: Method = "occlusion"
_WORDS = 64  # judged one by one; in a text of more the sentences come first
_SENTENCES = 3  # that carry the label the most, of which the words are then looked at
# A word, a run of Chinese, or a short one of signs of another script that writes no spaces.
_UNIT = re.compile(
    r"(?P<chinese>[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+)"
    r"|[\u3040-\u30ff\u0e00-\u0e7f]{1,2}"
    r"|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f]+(?:['’-]\w+)*"
)
Span = tuple[int, int]


class Occlusion:
    """Adds to a text's label what its words weigh."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def __call__(self, text: str, label: Label) -> Label:
        """`label` with its explanation. Of a text in several parts the one that carries the label the most is
        looked at, of a long part its sentences and the words of those that carry it the most."""
        start, part, score = strongest(self._judge, text, label)
        spans = [(start + a, start + b) for a, b in units(part)]
        if len(spans) > _WORDS:
            spans = self._narrowed(text, (start, start + len(part)), label.name, score)
        weights = self._weigh(text, (start, start + len(part)), spans, label.name, score)
        found = Explanation(METHOD, label.name, text, tuple(sorted(weights, key=lambda each: each.start)))
        return replace(label, explanation=found)

    def _narrowed(self, text: str, part: Span, name: str, score: float) -> list[Span]:
        """The sentences of a part, those that carry the label the most divided into their words."""
        whole = list(_spans(text, part))
        weights = self._weigh(text, part, whole, name, score)
        leading = sorted(weights, key=lambda each: -each.weight)[:_SENTENCES]
        divided = {(each.start, each.end) for each in leading}
        return [unit for span in whole for unit in (_inside(text, span) if span in divided else [span])]

    def _weigh(self, text: str, part: Span, spans: Sequence[Span], name: str, score: float) -> list[Weight]:
        """What each span adds to the probability of the label `name`, which is `score` with all of them."""
        begin, end = part
        judged = self._judge.judge([without(text[begin:end], [(a - begin, b - begin)]) for a, b in spans])
        return [
            Weight(text[a:b], a, b, score - found.scores.get(name, 0.0))
            for (a, b), found in zip(spans, judged, strict=True)
        ]


def strongest(judge: Judge, text: str, label: Label) -> tuple[int, str, float]:
    """Where the part begins that adds the most to the label, the part, and the label's probability in it."""
    whole = pieces(judge, text)
    if len(whole) == 1:
        return 0, text, label.scores.get(label.name, 0.0)
    judged = list(judge.judge(whole))
    best = max(range(len(whole)), key=lambda i: judged[i].scores.get(label.name, 0.0) * judged[i].tokens)
    return sum(map(len, whole[:best])), whole[best], judged[best].scores.get(label.name, 0.0)


def without(text: str, spans: Iterable[Span]) -> str:
    """`text` less the characters of `spans`; where nothing is left a sign that says nothing."""
    kept, end = "", 0
    for a, b in sorted(spans):
        kept, end = kept + text[end:a], b
    return kept + text[end:] if (kept + text[end:]).strip() else "…"


def units(text: str) -> list[Span]:
    """Where the words of a text begin and end; of a script without spaces, other than Chinese, its signs, two at a
    time."""
    found: list[Span] = []
    for unit in _UNIT.finditer(text):
        end = unit.start()
        for word in words(unit[0]) if unit["chinese"] else [unit[0]]:
            found.append((end, end := end + len(word)))
    return found


def _inside(text: str, span: Span) -> list[Span]:
    start, end = span
    return [(start + a, start + b) for a, b in units(text[start:end])[: 2 * _WORDS]] or [span]


def _spans(text: str, part: Span) -> Iterator[Span]:
    start, end = part
    for sentence in sentences(text[start:end]):
        if sentence.strip():
            yield start, start + len(sentence)
        start += len(sentence)
