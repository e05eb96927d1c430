"""Inline markup: what stands between the words of a line and means something to a program, told apart from the words.

Inline code, links, emphasis, HTML tags and entities, placeholders, URLs, paths, options. Joined, the spans of a text
are the text. The rules are CommonMark's (spec 0.31, section 6) where they matter to a translation, and no stricter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

# noun: stands for a thing in the sentence; mark: stands apart from it; open and close: stand around words.
Role = Literal["words", "noun", "mark", "open", "close"]


@dataclass(frozen=True)
class Span:
    """A stretch of a line; `said` stands in its translation, `pair` is the same number for open and close."""

    text: str
    role: Role = "words"
    pair: int = 0
    instead: str | None = None

    @property
    def said(self) -> str:
        return self.text if self.instead is None else self.instead


def spans(text: str, references: frozenset[str] = frozenset()) -> tuple[Span, ...]:
    """The spans of `text`, a line or less; `references` are the labels whose links are defined elsewhere."""
    if not _ANY.search(text):
        return (Span(text),) if text else ()
    return tuple(_merged(_paired(_tokens(text), references)))


def cut(parts: Sequence[Span], ends: Iterable[int]) -> list[tuple[Span, ...]]:
    """The spans cut at these offsets of their text; what is torn from its pair becomes a mark."""
    groups: list[list[Span]] = [[]]
    stops, place = iter(ends), 0
    stop = next(stops, None)
    for part in parts:
        rest = part
        while stop is not None and place + len(rest.text) >= stop:
            at = stop - place
            if at:
                groups[-1].append(_torn(rest, rest.text[:at]))
            groups.append([])
            rest, place, stop = _torn(rest, rest.text[at:]), stop, next(stops, None)
        if rest.text:
            groups[-1].append(rest)
        place += len(rest.text)
    return [tuple(_unpaired(group)) for group in groups if group]


def hidden(parts: Sequence[Span]) -> str:
    """The text of the same length in which nothing that is kept looks like a word's end or a sentence's.

    A link's words count as part of it: a link is not divided.
    """
    text, inside = "", 0
    for part in parts:
        link = part.role in ("open", "close") and part.text[-1] in "[)]"
        inside += link * (1 if part.role == "open" else -1)
        if part.role == "words" and not inside:
            text += part.text
        elif link or inside or part.role in ("noun", "mark"):
            text += "x" * len(part.text)
        else:
            text += ("“" if part.role == "open" else "”") * len(part.text)
    return text


def words(parts: Iterable[Span]) -> str:
    """What is left for a reader: the words alone."""
    return " ".join(part.text for part in parts if part.role == "words")


def with_nouns(parts: Iterable[Span], find: Callable[[str], Iterable[tuple[int, int, str]]]) -> tuple[Span, ...]:
    """The spans with what `find` finds in the words (start, end, what is said instead) made nouns of their own."""
    found: list[Span] = []
    for part in parts:
        place = 0
        for start, end, said in find(part.text) if part.role == "words" else ():
            found += [Span(part.text[place:start]), Span(part.text[start:end], "noun", instead=said)]
            place = end
        found.append(replace(part, text=part.text[place:]) if place else part)
    return tuple(part for part in found if part.text)


_TARGET = r"\((?:[^()\\]|\\.|\([^()]*\))*\)|\[[^\[\]]*\]"
_NAMED: dict[str, str] = {
    # Kept as one thing that the sentence speaks of.
    "noun": r"|".join([
        r"<(?P<raw>code|kbd|samp|tt|var|script|style|svg|math)\b[^<>]*>.*?</(?P=raw)\s*>",
        r"<(?P<kept>\w+)\s[^<>]*\btranslate=[\"']?no\b[^<>]*>.*?</(?P=kept)\s*>",
        r"(?<!`)(?P<tick>`+)(?!`)(?:.+?)(?<!`)(?P=tick)(?!`)",
        r"\\[!-/:-@\[-`{-~]",
        # {count, plural, one {# file} other {# files}}, as ICU has it.
        r"\{\s*\w+\s*,\s*(?:plural|select|selectordinal|number|date|time)\b(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}",
        r"[$#%]?\{\{[^{}]*\}\}|\{%.*?%\}|[$#%]?\{ ?[\w.:!@$\[\]'\"/*-]* ?\}|\{[#.][\w\s.#=\":-]*\}|\$\([^()]*\)",
        r"\$\$.+?\$\$|\$(?=\S)[^$\n]*[\\^_=][^$\n]*(?<=\S)\$(?!\d)",
        r"<[A-Za-z][\w+.-]{1,31}:[^\s<>]*>|<[\w.+-]+@[\w.-]+>",
        r"\[!\w[^\[\]]*(?:\[[^\[\]]*\])?(?:\([^()]*\))?\]|(?<!\w)![\w-]+\[[^\[\]]*\]",
        r"\[\^[^\]\s]+\]|\[\[[^\[\]]+\]\]",
        r"(?:https?://|ftp://|www\.)[!#-;=?-_a-~]+",
        r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+",  # 64 by RFC 5321; unbounded, a long run would take quadratic time
        r"(?<![\w/.:])(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w.@+-]+){2,}[/\\]?",
        r"(?<![\w/.-])[\w.-]+(?:/[\w.-]+)*/[\w-]+\.[A-Za-z]\w{0,5}\b",
        r"(?<![\w%])%%|%\(\w+\)[-+#0 ]*\d*(?:\.\d+)?[sdiuoxXfFeEgGcr]",
        r"(?<![\d%])%(?:\d+\$)?[-+#0]*\d*(?:\.\d+)?(?:hh|h|ll|l|z|j|t|L)?[sdiuoxXfFeEgGcpn@](?![A-Za-z])",
        r"(?<![\w%])%\d{1,2}(?![\d%])|%[A-Z_]{2,}%",
        r"\$[A-Za-z_]\w*",
        r"&(?:[A-Za-z]\w*|#\d+|#x[\dA-Fa-f]+);",
        r"(?<![\w-])--[A-Za-z][\w-]*(?:=[^\s,;，。]+)?",
        r"(?<![\w:]):[a-z][a-z0-9_+-]+:(?![\w:])",
        r"\\[nrt](?![A-Za-z])",
    ]),
    "mark": r"<!--.*?-->|\{\\[^{}]*\}|<[!?][A-Za-z][^<>]*>",
    "tag": r"</?(?P<name>[A-Za-z][\w:.-]*)(?:\s(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)?/?>",
    "link": r"!?\[",
    "target": rf"\](?:{_TARGET})?",
    "emphasis": r"\*{1,3}|_{1,3}|~~",
}  # fmt: skip
_ANY = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _NAMED.items()), re.A)
_ENDS_URL = ".,;:!?'\"*_~"
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass(frozen=True)
class _Token:
    text: str
    kind: str  # a name of _NAMED, or words
    opens: bool = False
    closes: bool = False

    @property
    def family(self) -> str:
        """What an opening and its closing have in common."""
        if self.kind == "tag":
            return re.sub(r"\W*([\w:.-]+).*", r"<\1", self.text, flags=re.S).lower()
        return "[" if self.kind in ("link", "target") else self.text


def _tokens(text: str) -> list[_Token]:
    tokens, place = [], 0
    while found := _ANY.search(text, place):
        kind = str(found.lastgroup) if found.lastgroup in _NAMED else _kind(found)
        end = found.start() + len(_whole(found[0])) if kind == "noun" else found.end()
        tokens += [_Token(text[place : found.start()], "words"), _token(text, found.start(), end, kind)]
        place = end
    tokens.append(_Token(text[place:], "words"))
    return [token for token in tokens if token.text]


def _kind(found: re.Match[str]) -> str:
    return next(name for name in _NAMED if found[name] is not None)


def _whole(noun: str) -> str:
    """A URL without the punctuation of the sentence around it; (https://x.org/a_(b)) has its own brackets."""
    if not re.match(r"https?://|ftp://|www\.", noun):
        return noun
    url = noun.rstrip(_ENDS_URL)
    while url and url[-1] in ")]}" and url.count(url[-1]) > url.count("([{"[")]}".index(url[-1])]):
        url = url[:-1].rstrip(_ENDS_URL)
    return url or noun


def _token(text: str, start: int, end: int, kind: str) -> _Token:
    said = text[start:end]
    before, after = text[start - 1 : start], text[end : end + 1]
    if kind == "emphasis":
        opens, closes = bool(after.strip()), bool(before.strip())
        if said[0] == "_":  # snake_case is a word
            opens, closes = opens and not before.isalnum(), closes and not after.isalnum()
        return _Token(said, kind, opens, closes)
    if kind == "tag":
        name = _Token(said, kind).family[1:]
        single = said.endswith("/>") or name in _VOID
        return _Token(said, kind, not single and said[1] != "/", said[1] == "/")
    return _Token(said, kind, kind == "link", kind == "target")


def _paired(tokens: Sequence[_Token], references: frozenset[str]) -> list[Span]:
    roles: list[Span] = [_alone(token) for token in tokens]
    opened: list[int] = []
    for n, token in enumerate(tokens):
        match = next((m for m in reversed(opened) if tokens[m].family == token.family), None) if token.closes else None
        if match is None:
            if token.opens:
                opened.append(n)
            continue
        opened = [m for m in opened if m < match]
        if token.text == "]":
            label = "".join(each.text for each in tokens[match + 1 : n])
            if label.casefold() in references:
                roles[match : n + 1] = [replace(role, role="noun", pair=-1 - n) for role in roles[match : n + 1]]
        elif n > match + 1:
            roles[match], roles[n] = Span(tokens[match].text, "open", n + 1), Span(token.text, "close", n + 1)
    return roles


def _alone(token: _Token) -> Span:
    """What a token is where nothing pairs with it: a lone tag or link target is kept, a lone star is text."""
    if token.kind == "noun":
        return Span(token.text, "noun")
    if token.kind in ("mark", "tag") or (token.kind == "target" and token.text != "]"):
        return Span(token.text, "mark")
    return Span(token.text)


def _merged(parts: Sequence[Span]) -> list[Span]:
    """Words that touch as one span, and the parts of a reference as one noun."""
    merged: list[Span] = []
    for part in parts:
        together = merged and part.role == merged[-1].role and part.pair == merged[-1].pair
        if together and (part.role == "words" or part.pair < 0):
            merged[-1] = replace(merged[-1], text=merged[-1].text + part.text)
        else:
            merged.append(part)
    return merged


def _torn(part: Span, text: str) -> Span:
    return part if part.text == text else replace(part, text=text, role="words" if part.role == "words" else "mark")


def _unpaired(group: Sequence[Span]) -> Iterable[Span]:
    """The spans of a sentence, in which an opening whose closing is elsewhere is a mark."""
    pairs = [part.pair for part in group if part.role in ("open", "close")]
    for part in group:
        alone = part.role in ("open", "close") and pairs.count(part.pair) < 2
        yield replace(part, role="mark", pair=0) if alone else part
