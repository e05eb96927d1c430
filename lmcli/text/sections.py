"""Sections: parts of a long text that begin where the text itself does: at a chapter, a heading, a paragraph."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lmcli.text.segment import Count, lines, paragraphs, parts, sentences

_NAMED = re.compile(
    r"#{1,6}\s+\S|第\s*[\d一二三四五六七八九十百千零〇]+\s*[章节節回部篇卷幕]"
    r"|(?:chapter|part|book|section|act|scene|kapitel|teil|chapitre|capítulo|глава)\s+(?:\d+|[ivxlc]+)\b",
    re.IGNORECASE,
)
_ENDS = re.compile(r"[.!?…。！？；][\"'”’»)\]）】」』]*\s*$")
_LONGEST_HEADING = 80  # characters
_LEAST = 0.5  # of an even share: as early as this a part may end for the sake of a heading


@dataclass(frozen=True)
class _Piece:
    """A piece of text, its tokens, and how good a place its beginning is to cut: 3 a heading, 0 amid a sentence."""

    text: str
    tokens: int
    rank: int


def sections(text: str, limit: int, count: Count) -> list[str]:
    """The text in parts of at most `limit` tokens; joined they are the text.

    A part ends before a heading rather than between paragraphs, there rather than between sentences, and among equals
    where the parts come out even. Raises InputTooLong where a single character has more than `limit` tokens.
    """
    pieces = list(_pieces(text, limit, count))
    left = sum(piece.tokens for piece in pieces)
    found: list[str] = []
    at = 0
    while at < len(pieces):
        end = _end_of_part(pieces, at, left, limit)
        part = "".join(piece.text for piece in pieces[at:end])
        # Together pieces may have more tokens than their sum.
        found += [part] if count(part) <= limit else parts(part, limit, count)
        left -= sum(piece.tokens for piece in pieces[at:end])
        at = end
    return found


def is_heading(line: str) -> bool:
    """Whether a line is a heading: Markdown's, of a chapter, or words in capitals without a full stop."""
    line = line.strip()
    if not 0 < len(line) <= _LONGEST_HEADING:
        return False
    return bool(_NAMED.match(line)) or (len(line) > 3 and line.isupper() and not _ENDS.search(line))


def _end_of_part(pieces: Sequence[_Piece], at: int, left: int, limit: int) -> int:
    """The index before which the part that begins `at` ends; `left` tokens are to be divided."""
    if left <= limit:
        return len(pieces)
    share = left / -(-left // limit)
    size, fits, best = 0, at + 1, (-1, 0.0, at + 1)
    for end in range(at + 1, len(pieces)):
        size += pieces[end - 1].tokens
        if size > limit:
            break
        fits = end
        if size >= _LEAST * share:
            best = max(best, (pieces[end].rank, -abs(size - share), end))
    return best[2] if best[0] >= 0 else fits


def _pieces(text: str, limit: int, count: Count) -> Iterator[_Piece]:
    """Paragraphs, each below its headings; the sentences of one that does not fit."""
    for block, rank in _blocks(text):
        tokens = count(block)
        if tokens <= limit:
            yield _Piece(block, tokens, rank)
            continue
        for sentence in sentences(block):
            tokens = count(sentence)
            if tokens <= limit:
                yield _Piece(sentence, tokens, rank)
            else:
                yield from (_Piece(part, count(part), 0) for part in parts(sentence, limit, count))
            # Where prose is broken into lines a line is no sentence.
            rank = 1 if _ENDS.search(sentence) else 0


def _blocks(text: str) -> Iterator[tuple[str, int]]:
    """What stands between blank lines or above a heading, and its rank; a heading stands with what follows it."""
    block, rank, only_headings = "", 2, True
    for paragraph in paragraphs(text):
        for n, line in enumerate(lines(paragraph)):
            heading = is_heading(line)
            if block and not only_headings and (heading or n == 0):
                yield block, rank
                block, only_headings = "", True
            if not block:
                rank = 3 if heading else 2
            block += line
            only_headings = only_headings and (heading or not line.strip())
    if block:
        yield block, rank
