"""Layout: a text as sentences to work on and all that stands around them, so that it can be put together again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lmcli.text.segment import lines, parts, sentences

Count = Callable[[str], int]
_URL = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\S+")
# A line that is a path and nothing else: /usr/bin, ./a, ~/b, C:\\c, docs/text.md; not and/or.
_PATH = re.compile(
    r"(?:[-*+]\s+)?(?:(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w.@+-]+)+[/\\]?|(?:[\w.@+-]+/)+[\w@+-]*\.\w{1,8})"
)
_FENCE = re.compile(r"\s*(`{3,}(?=[^`]*$)|~{3,})\s*(.*)")
# `code`, {name}, ${name}, {{ name }}, a URL: what means something to a program. ASCII, for 见https://x.org。
_LITERAL = re.compile(r"`[^`]+`|\$?\{\{? ?[\w.:!-]* ?\}?\}|(?:https?://|www\.)[!-~]+", re.A)


@dataclass(frozen=True)
class Segment:
    """A sentence, or what needs no translation, and the whitespace after it.

    `ends_line` keeps that whitespace as it is; between sentences it follows the target's habit.
    """

    text: str
    gap: str
    translatable: bool = False
    ends_line: bool = True


def segments(text: str, limit: int, count: Count) -> list[Segment]:
    """The text in segments of at most `limit` tokens; joined, their texts and gaps are the text."""
    whole = lines(text)
    code = _fenced(whole)
    return [
        segment
        for n, line in enumerate(whole)
        for segment in (_kept(line) if n in code else _of_line(line, limit, count))
    ]


def literals(sentence: str) -> list[str]:
    """The inline code, {placeholders} and URLs in `sentence`, which a translation is to have as they are."""
    return list(dict.fromkeys(found.rstrip(".,;:!?)]>'\"*_") for found in _LITERAL.findall(sentence)))


def joined(segments: Sequence[Segment], answers: Sequence[str], spaced_source: bool, spaced_target: bool) -> str:
    """The segments with `answers` in place of the translatable ones.

    Lines stay as they were. A space between sentences follows the habit of the target language.
    """
    text, answer = "", iter(answers)
    for segment in segments:
        gap = segment.gap
        if segment.translatable and not segment.ends_line:
            # 你好。再见。 has no space to keep, and Hello. Goodbye. one that Chinese does without.
            gap = (gap or " ") if spaced_target else "" if spaced_source and gap == " " else gap
        text += (next(answer) if segment.translatable else segment.text) + gap
    return text


def _of_line(line: str, limit: int, count: Count) -> Iterator[Segment]:
    lead, body, tail = _trimmed(line)
    if _PATH.fullmatch(body):
        yield from _kept(line)
        return
    if lead:
        yield Segment("", lead)
    pieces = [piece for sentence in sentences(body) for piece in _fitting(sentence, limit, count)]
    for n, piece in enumerate(pieces):
        before, core, after = _trimmed(piece)
        last = n == len(pieces) - 1
        translatable = any(c.isalpha() for c in _URL.sub("", core))
        yield Segment(before + core, after + tail if last else after, translatable, last)


def _kept(line: str) -> Iterator[Segment]:
    lead, body, tail = _trimmed(line)
    yield Segment(lead + body, tail)


def _fenced(lines: Sequence[str]) -> set[int]:
    """The numbers of the lines in fenced code blocks, fences included. A fence that nothing closes is none."""
    inside: set[int] = set()
    opened, fence = 0, ""
    for n, line in enumerate(lines):
        mark = _FENCE.fullmatch(line.rstrip())
        if not mark:
            continue
        if not fence:
            opened, fence = (n, mark[1]) if mark[2] or not _underlines(mark[1], lines[n - 1] if n else "") else (0, "")
        elif not mark[2] and mark[1].startswith(fence):
            inside.update(range(opened, n + 1))
            fence = ""
    return inside


def _underlines(marks: str, title: str) -> bool:
    """Whether ~~~~~ is the line below a title, as reStructuredText has it."""
    return 0 < len(title.strip()) <= len(marks)


def _fitting(sentence: str, limit: int, count: Count) -> list[str]:
    # Even byte by byte a character has four tokens at most: most sentences need not be counted.
    if 4 * len(sentence) <= limit or count(sentence) <= limit:
        return [sentence]
    return parts(sentence, limit, count)


def _trimmed(text: str) -> tuple[str, str, str]:
    """The whitespace before, the text, the whitespace after."""
    core = text.strip()
    start = len(text) - len(text.lstrip())
    return text[:start], core, text[start + len(core) :]
