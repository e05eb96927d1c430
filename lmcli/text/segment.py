"""Segmentation: cut a text into paragraphs, sentences or parts of bounded size, and lose nothing.

Every function here is lossless: joining the pieces gives the text back, character by character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from lmcli.errors import InputTooLong


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_CLOSERS = "\"'”’»›)\\]}）】」』》〉〕］｝〞＂＇"
# Marks that may end a sentence, those that close it, and the whitespace that goes with it.
_MARK = re.compile(rf"(?P<mark>[.!?…。！？；｡．؟۔।॥።‼⁇⁈⁉]+)(?P<close>[{_CLOSERS}]*)(?P<space>\s*)")
_ALWAYS = set("。！？；｡؟۔।॥።‼⁇⁈⁉")  # no other use in any script
_IS_CJK = re.compile(rf"[{_CJK}]")
_WORD_BEFORE = re.compile(r"[^\W_](?:[^\W_]|[.'’-](?=[^\W_]))*$")
_WORD_AFTER = re.compile(rf"[\s{_CLOSERS}\"'“‘«‹(\[{{¿¡*_#>-]*([^\W_]+)(\.)?")
_LIST_MARK = re.compile(r"\s*(?:[-*+>#]+\s+)?(?:\d{1,3}|[^\W\d_]|[ivxIVX]{1,5})$")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]$")  # U.S, e.g, z.B, т.е
_INITIAL = re.compile(r"(?:^|[\s(\[\"'“‘.-])[^\W\d_]$")

# After these a full stop never ends the sentence.
_ABBREVIATIONS = _words("""
    mr mrs ms dr prof st rev gen sen rep gov pres capt cmdr lt col sgt maj hon messrs mme mlle vs e.g
    i.e eg ie cf viz approx fig figs eq eqs sec ch vol vols pp ed eds trans dept univ assn ave blvd mt
    ft nos art z.b d.h u.a s.o bzw ca evtl ggf vgl inkl zzgl sog nr str hr fr geb p.ex sra srta ud uds
    dña т.е напр им ул стр рис см
""")
# After these it does when a new sentence plainly begins.
_AMBIGUOUS = _words("""
    etc inc ltd co corp bros jr sr al no esq usw dgl u.s u.k u.n a.m p.m ph.d b.c a.d d.c m.d b.a m.a
    jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun т.д т.п др г гг
""")
_STARTERS = _words("""
    the a an this that these those he she it they we i you his her its their our my your but and or so
    yet if when while as at in on for from with by after before since although though because however
    moreover meanwhile then there here now what who where why how not no all many most some one each
    every both another such still even only once until also today yesterday der die das ein eine er sie
    es wir ich und aber dann dies doch wenn nach le la les un une il elle nous vous on et mais el los
    las una ella ellos
""")
_GERMAN_ORDINAL = _words("""
    januar februar märz april mai juni juli august september oktober november dezember jahrhundert
""")

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


def sentences(text: str) -> list[str]:
    """The text cut after each sentence, Latin or CJK; whitespace stays with the sentence before it.

    A newline always ends a sentence. Blank lines belong to the sentence before them, at the top to the first.
    """
    groups: list[list[str]] = []
    filled = False
    for line in lines(text):
        for piece in _sentences_of_line(line):
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


def _sentences_of_line(line: str) -> Iterator[str]:
    start = 0
    for found in _MARK.finditer(line):
        if found.end() < len(line) and _ends(line, start, found):
            yield line[start : found.end()]
            start = found.end()
    if start < len(line):
        yield line[start:]


def _ends(line: str, start: int, found: re.Match[str]) -> bool:
    """Whether the marks `found` in `line` end the sentence that began at `start`; something follows them."""
    mark, close, space = found["mark"], found["close"], found["space"]
    after = line[found.end()]
    before = line[found.start() - 1] if found.start() > start else ""
    if _ALWAYS & set(mark):
        # 「行く。」と言った: the quotation is part of the sentence around it.
        return after not in "，、,と" and not (close and after == "っ")
    if not space and not close and not ("…" in mark and _IS_CJK.match(after)):
        # Decimals, versions, URLs and names of files have no space; Chinese with ASCII marks has none either.
        return bool(before and _IS_CJK.match(before) and _IS_CJK.match(after))
    if not space:
        return mark != "…" and bool(_IS_CJK.match(after))
    if after in ",;:，、；：":
        return False
    word = _WORD_AFTER.match(line, found.end())
    if word and word[1][0].islower():
        return False
    if mark != ".":
        return True
    # A list mark opens its line and a word is short: a long line need not be copied at every full stop.
    if start == 0 and found.start() < 20 and _LIST_MARK.match(line[: found.start()]):
        return False
    return _full_stop_ends(line[max(start, found.start() - 40) : found.start()], bool(close), word)


def _full_stop_ends(before: str, closed: bool, after: re.Match[str] | None) -> bool:
    """Whether a single full stop after `before` ends a sentence, from the words on its two sides."""
    found = _WORD_BEFORE.search(before)
    word = found[0] if found else ""
    next_word = after[1].casefold() if after else ""
    if word.isdigit() and len(word) <= 2 and next_word in _GERMAN_ORDINAL:
        return False
    if closed or not word:
        return True
    if word.casefold() in _ABBREVIATIONS:
        return False
    if word.casefold() in _AMBIGUOUS or _DOTTED.match(word) or _INITIAL.search(before):
        # "J. A. Smith": an initial after an initial is no beginning.
        return next_word in _STARTERS and not (after and after[2])
    return True


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


_LEVELS: tuple[Callable[[str], list[str]], ...] = (
    paragraphs,
    sentences,
    _cut_after(r"[,;:，、；：)）—]+\s*"),
    _cut_after(r"\s+"),
)
