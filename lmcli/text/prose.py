"""Prose: the sentences of a text that can stand alone, without its headings, tables, code and line breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from lmcli.text.fences import fenced
from lmcli.text.segment import lines, sentences

# A heading, a row of a table, a rule, a definition of a link, a tag alone on its line, a comment.
_MARKUP = re.compile(r"\s*(#{1,6}\s|\||[-=*_\s]{3,}$|\[[^\]]+\]:\s|</?\w[^>]*>\s*$|<!--)")
_ITEM = re.compile(r"\s*(?:>\s*)*(?:[-*+•]\s+|\d{1,3}[.)]\s+)")
_QUOTE = re.compile(r"\s*(?:>\s*)+")
_ENDS = re.compile(r"[.!?…。！？；｡؟۔।॥][\"'”’»›)\]}）】」』》*_]*$")
_CJK = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
_LETTER = re.compile(r"[^\W\d_]")
_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]{2}|[^\W_]+")
_FEWEST_WORDS = 3  # fewer say nothing on their own; two characters count for a word


def prose(text: str) -> list[str]:
    """The sentences that end as sentences do, in order, each on one line; where none does, every line with a letter.

    Lines are joined where a sentence runs on in the next one. Code blocks, headings, tables and marks of lists and
    quotations are left out.
    """
    pieces = [" ".join(piece.split()) for block in _blocks(text) for piece in sentences(block)]
    whole = [piece for piece in pieces if _ENDS.search(piece) and len(_WORDS.findall(piece)) >= _FEWEST_WORDS]
    return whole or [piece for piece in pieces if _LETTER.search(piece)]


def _blocks(text: str) -> Iterator[str]:
    """Runs of lines as one line each: what stands between blank lines, markup and list marks."""
    block: list[str] = []
    for line, begins in _readable(text):
        if block and (begins or not line or not _goes_on(block, line)):
            yield _joined(block)
            block = []
        if line:
            block.append(line)
    if block:
        yield _joined(block)


def _readable(text: str) -> Iterator[tuple[str, bool]]:
    """The lines without their marks, empty for those that are no prose, and whether each begins a block."""
    whole = lines(text)
    code = fenced(whole)
    for n, line in enumerate(whole):
        if n in code or _MARKUP.match(line):
            yield "", True
        else:
            item = _ITEM.match(line)
            mark = item or _QUOTE.match(line)
            yield line[mark.end() if mark else 0 :].strip(), bool(item)


def _goes_on(block: list[str], line: str) -> bool:
    """Whether the sentence that the block's last line leaves open runs on in `line`.

    A line that is broken off is about as long as its neighbours; a short one above a capital is a heading.
    """
    last = block[-1]
    if _ENDS.search(last):
        return True  # the sentences are told apart later
    broken = len(last) >= 0.6 * max(map(len, [*block[-8:], line]))
    return broken or line[0].islower()


def _joined(block: list[str]) -> str:
    """One line: without a space where Chinese or Japanese is broken."""
    pieces = [block[0]]
    for before, line in pairwise(block):
        tight = _CJK.match(before[-1]) and _CJK.match(line[0])
        pieces.append(line if tight else f" {line}")
    return "".join(pieces)
