"""HTML as blocks: the text between the tags of blocks, with the tags inside a sentence as its markup.

Tags, comments, scripts, styles, preformatted text and code come through byte for byte.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from lmcli.text.layout import Block

_ATTRIBUTES = r"(?:\s(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)?"
_TOKEN = re.compile(
    rf"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<[!?][^>]*>"
    rf"|<(?P<raw>script|style|pre|code|kbd|samp|textarea|svg|math|template)\b{_ATTRIBUTES}>.*?</(?P=raw)\s*>"
    rf"|<(?P<kept>\w+){_ATTRIBUTES}\stranslate=[\"']?no\b[^<>]*>.*?</(?P=kept)\s*>"
    rf"|</?(?P<name>[A-Za-z][\w:-]*){_ATTRIBUTES}/?>",
    re.S | re.I,
)
_INLINE = {
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "br", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "img", "ins", "kbd", "label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time",
    "tt", "u", "var", "wbr",
}  # fmt: skip
_SPACE = re.compile(r"\s+")
# Letters that stand for themselves; &nbsp; and &lt; are left to the markup.
_LETTER = re.compile(r"&(?:#\d+|#x[\da-f]+|[a-z]\w*);", re.I)


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page; joined, their originals are the page."""
    inside = ""
    line = 1
    for piece, ends in _pieces(text):
        if not ends:
            inside += piece
            continue
        yield from _prose(inside, line)
        line += inside.count("\n")
        inside = ""
        yield Block(piece, False, line)
        line += piece.count("\n")
    yield from _prose(inside, line)


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The page in texts and tags; True for those that end a block of prose."""
    place = 0
    for found in _TOKEN.finditer(text):
        if found.start() > place:
            yield text[place : found.start()], False
        name = (found["name"] or found["raw"] or found["kept"] or "").lower()
        yield found[0], (bool(name) and name not in _INLINE) or found[0].startswith(("<!D", "<!d", "<?"))
        place = found.end()
    if text[place:]:
        yield text[place:], False


def _prose(text: str, line: int) -> Iterator[Block]:
    """The text of one block, on one line as a browser shows it."""
    body = text.strip()
    if not any(c.isalpha() for c in _TOKEN.sub("", body)):
        if text:
            yield Block(text, False, line)
        return
    start = text.index(body)
    if start:
        yield Block(text[:start], False, line)
    said = _LETTER.sub(_letter, _SPACE.sub(" ", body))
    yield Block(said, True, line + text[:start].count("\n"), body, str, _escaped)
    if text[start + len(body) :]:
        yield Block(text[start + len(body) :], False, line)


def _letter(entity: re.Match[str]) -> str:
    letter = html.unescape(entity[0])
    return letter if len(letter) == 1 and letter.isalnum() else entity[0]


def _escaped(words: str) -> str:
    """A translator's words as text: it may write < and &, but no tag."""
    return html.escape(words, quote=False)
