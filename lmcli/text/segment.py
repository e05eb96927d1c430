"""Segmentation: cut a text into paragraphs, sentences or parts of bounded size, and lose nothing.

Every function here is lossless: joining the pieces gives the text back, character by character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from lmcli.errors import InputTooLong
from lmcli.text import boundary
from lmcli.text.fences import fenced

_LINE = re.compile(r"[^\r\n]+(?:\r\n|\r|\n)?|\r\n|\r|\n")
_ROW = re.compile(r"\s*\|.*\|\s*$")
# What begins a block of Markdown, and so no sentence goes on into it.
_BLOCK = re.compile(
    r"\s*(?:#{1,6}\s|>|\||[-*+•·–]\s|\(?(?:\d{1,3}|[A-Za-z])[.)]\s|[一二三四五六七八九十]{1,3}、|\[[\^\w]+\]:)"
)
_RULE = re.compile(r"\s*(?:=+|-{2,}|(?:[-*_]\s*){3,})\s*$")
_HEADING = re.compile(r"\s*#{1,6}\s")
_SHORT = 0.5  # of the longest line beside it

Count = Callable[[str], int]


def lines(text: str) -> list[str]:
    """The text cut after each \\n, \\r\\n or \\r and nowhere else (`str.splitlines` cuts at eight more)."""
    return _LINE.findall(text)


def paragraphs(text: str) -> list[str]:
    """The text cut after each run of blank lines; a piece ends with the blank lines that follow it."""
    groups: list[list[str]] = []
    ended = filled = False
    for line in lines(text):
        blank = not line.strip()
        if not groups or (ended and not blank):
            groups.append([])
            filled = False
        groups[-1].append(line)
        filled = filled or not blank
        ended = blank and filled
    return ["".join(group) for group in groups]


def sentences(text: str, wrapped: bool = False) -> list[str]:
    """The text cut after each sentence, Latin or CJK; whitespace stays with the sentence before it.

    A newline always ends a sentence, unless the text is `wrapped`: then the lines of a paragraph are read as one,
    except where Markdown begins a block (heading, list item, quotation, row of a table) or a line is less than half
    as long as the longest of its paragraph, as in verse and addresses. A row of a table and a line of a fenced code
    block are never cut. Blank lines belong to the sentence before them, at the top to the first.
    """
    groups: list[list[str]] = []
    filled = False
    for piece in _pieces(text, wrapped):
        blank = not piece.strip()
        if not groups or (filled and not blank):
            groups.append([])
            filled = False
        groups[-1].append(piece)
        filled = filled or not blank
    return ["".join(group) for group in groups]


def parts(text: str, limit: int, count: Count) -> list[str]:
    """The text cut into pieces of at most `limit` tokens: paragraphs, else sentences, clauses, words.

    A longer word is halved. `count` gives the tokens of a text. The parts are of similar size, so that
    none is a mere remainder. Raises InputTooLong where a single character has more than `limit` tokens.
    """
    if not text:
        return []
    pieces = list(_fitting(text, limit, count, 0))
    total = sum(tokens for _, tokens in pieces)
    # Full parts would leave a short remainder: aim for the same number of parts, evenly filled.
    aim = total / -(-total // limit) if total else limit
    groups: list[list[str]] = [[]]
    size = 0
    for piece, tokens in pieces:
        if groups[-1] and (size + tokens > limit or size >= aim):
            groups.append([])
            size = 0
        groups[-1].append(piece)
        size += tokens
    return [part for group in groups for part in _verified(group, limit, count)]


def _pieces(text: str, wrapped: bool) -> Iterator[str]:
    """The sentences, and the blank lines between them."""
    whole = lines(text)
    code = fenced(whole)
    flow: list[str] = []
    longest = _longest_beside(whole) if wrapped else [0] * len(whole)
    for n, line in enumerate(whole):
        if n in code or _ROW.match(line):
            yield from _cut("".join(flow))
            yield line
            flow = []
            continue
        if flow and not (wrapped and _goes_on(flow[-1], line, longest[n])):
            yield from _cut("".join(flow))
            flow = []
        flow.append(line)
    yield from _cut("".join(flow))


def _goes_on(line: str, following: str, longest: int) -> bool:
    """Whether a sentence may go on from `line` into the line `following`."""
    shown = line.rstrip()
    broken = line.rstrip("\r\n").endswith(("  ", "\\"))  # Markdown's line break
    if broken or not shown or not following.strip() or len(shown) < _SHORT * longest:
        return False
    return not (_HEADING.match(line) or _RULE.match(line) or _RULE.match(following) or _BLOCK.match(following))


def _longest_beside(whole: Sequence[str]) -> list[int]:
    """For each line the length of the longest line in its paragraph."""
    lengths: list[int] = []
    run: list[int] = []
    for line in whole:
        run.append(len(line.rstrip()))
        if not run[-1]:
            lengths += [max(run)] * len(run)
            run = []
    return lengths + [max(run, default=0)] * len(run)


def _cut(flow: str) -> Iterator[str]:
    start = 0
    for end in boundary.ends(flow):
        yield flow[start:end]
        start = end
    if start < len(flow):
        yield flow[start:]


def _fitting(text: str, limit: int, count: Count, level: int) -> Iterator[tuple[str, int]]:
    """Pieces of at most `limit` tokens with their counts, cut no finer than they must be."""
    for piece in _LEVELS[level](text):
        tokens = count(piece)
        if tokens <= limit:
            yield piece, tokens
        elif level + 1 < len(_LEVELS):
            yield from _fitting(piece, limit, count, level + 1)
        else:
            yield from _characters(piece, limit, count)


def _characters(text: str, limit: int, count: Count) -> Iterator[tuple[str, int]]:
    """Halve a text without a single space (a key, a base64 block) until the halves fit."""
    tokens = count(text)
    if tokens <= limit:
        yield text, tokens
        return
    middle = len(text) // 2
    while 0 < middle < len(text) and _joins(text[middle - 1], text[middle]):
        middle += 1
    if not 0 < middle < len(text):
        middle = len(text) // 2
    if middle == 0:
        raise InputTooLong(
            f"not even one character fits: there is room for {limit} tokens",
            "choose a checkpoint with a longer context",
        )
    yield from _characters(text[:middle], limit, count)
    yield from _characters(text[middle:], limit, count)


def _joins(left: str, right: str) -> bool:
    """Whether two characters show as one: combining marks, variation selectors, joined emoji, \\r\\n."""
    return (
        bool(unicodedata.combining(right))
        or right in "\u200d\ufe0e\ufe0f"
        or left == "\u200d"
        or left + right == "\r\n"
    )


def _verified(group: list[str], limit: int, count: Count) -> Iterator[str]:
    """The group as one part, or as two where the pieces have more tokens together than their sum said."""
    part = "".join(group)
    if len(group) < 2 or count(part) <= limit:
        yield part
        return
    middle = len(group) // 2
    yield from _verified(group[:middle], limit, count)
    yield from _verified(group[middle:], limit, count)


def _cut_after(pattern: str) -> Callable[[str], list[str]]:
    compiled = re.compile(pattern)

    def cut(text: str) -> list[str]:
        ends = [*(found.end() for found in compiled.finditer(text)), len(text)]
        return [text[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]

    return cut


# The marks inside a sentence part what belongs together the less the stronger they are: ； stands between clauses
# that could be sentences, yet by the standard for Chinese punctuation (GB/T 15834) it ends none.
_LEVELS: tuple[Callable[[str], list[str]], ...] = (
    paragraphs,
    lambda text: sentences(text, wrapped=True),
    sentences,
    _cut_after(r"[;；]+\s*|[:：]\s+|\s[—–]\s+|——"),
    _cut_after(r"[,，、：)）—]+\s*"),
    _cut_after(r"\s+"),
)
