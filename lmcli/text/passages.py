"""Passages: documents in pieces that know where they stand, the best of them for a question, and what bears an answer
out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from lmcli.text import bm25
from lmcli.text.documents import Document
from lmcli.text.segment import Count, parts, sentences
from lmcli.types import Span

_ANSWER_WEIGHT = 2.0  # a word of the answer points to its sentence better than a word of the question
_BEARING = 0.2  # of the answer's weight: what a sentence has at least that it rests on


@dataclass(frozen=True)
class Passage:
    """The characters of a document from `start` to `end`."""

    document: Document
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.document.text[self.start : self.end]


@dataclass(frozen=True)
class Chosen:
    """A passage and how well it fits a question, 0 where it has no word of it."""

    passage: Passage
    score: float


def whole(documents: Sequence[Document]) -> list[Passage]:
    """A passage for each document, all of it."""
    return [Passage(document, 0, len(document.text)) for document in documents]


def cut(documents: Sequence[Document], size: int, count: Count) -> list[Passage]:
    """All of the documents in passages of at most `size` tokens, cut between paragraphs or sentences."""
    return [piece for one in whole(documents) for piece in _placed(one, parts(one.text, size, count))]


def choose(
    passages: Sequence[Passage], question: str, most: int, room: int | None = None, count: Count = len
) -> list[Chosen]:
    """The `most` passages that fit the question best, of `room` tokens together, in the order of the text.

    Where no passage has a word of the question, the first ones.
    """
    scores = bm25.Index([passage.text for passage in passages]).scores(question)
    left = room
    chosen: list[int] = []
    for i in sorted(range(len(passages)), key=lambda i: -scores[i]):
        if len(chosen) == most or (any(scores) and not scores[i]):
            break
        size = 0 if left is None else count(passages[i].text)
        if left is None or size <= left:
            chosen.append(i)
            left = None if left is None else left - size
    return [Chosen(passages[i], round(scores[i], 4)) for i in sorted(chosen)]


def supporting(passages: Sequence[Passage], question: str, answer: str) -> Span | None:
    """The sentence of the passages that bears the answer out best.

    None where none has a fifth of it, or none a number that the answer gives: such an answer is not from the text.

    Its score is how much of the answer it has, 0 to 1, rare words counting more.
    """
    wanted = dict.fromkeys(bm25.terms(answer), 1.0)
    found = [piece for passage in passages for piece in _placed(passage, sentences(passage.text))]
    index = bm25.Index([piece.text for piece in found])
    shares, scores = index.shares(wanted), index.scores(_weights(question, wanted))
    numbers = [term for term in wanted if any(map(str.isdecimal, term)) and term not in set(bm25.terms(question))]
    bearing = (
        i for i in range(len(found))
        if shares[i] >= _BEARING and (not numbers or not set(numbers).isdisjoint(bm25.terms(found[i].text)))
    )  # fmt: skip
    best = max(bearing, key=lambda i: scores[i], default=None)
    return None if best is None else span(found[best].document, found[best].start, found[best].end, shares[best])


def around(document: Document, answer: Span) -> Span:
    """The sentences that an answer out of `document` stands in."""
    pieces = [
        piece
        for piece in _placed(Passage(document, 0, len(document.text)), sentences(document.text))
        if piece.end > answer.start and piece.start < answer.end
    ]
    return span(document, pieces[0].start, pieces[-1].end, answer.score)


def span(document: Document, start: int, end: int, score: float | None) -> Span:
    """The characters from `start` to `end`, less the whitespace around them, and their line."""
    text = document.text[start:end]
    start, end = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
    before = document.text[:start]
    line = 1 + before.count("\n") + before.count("\r") - before.count("\r\n")
    return Span(document.text[start:end], start, end, line, document.name, score)


def _weights(question: str, answer: Mapping[str, float]) -> dict[str, float]:
    weights = dict.fromkeys(bm25.terms(question), 1.0)
    return {term: weights.get(term, 0.0) + _ANSWER_WEIGHT * (term in answer) for term in {**weights, **answer}}


def _placed(passage: Passage, pieces: Sequence[str]) -> Iterator[Passage]:
    """The pieces of a passage, in the places where they stand."""
    for piece, end in zip(pieces, accumulate(map(len, pieces)), strict=True):
        yield Passage(passage.document, passage.start + end - len(piece), passage.start + end)
