"""Subtitles: the cues of SubRip (.srt) and WebVTT (.vtt) files, whose numbers, times and settings stay.

The file is read line by line and not through a model of it: what a writer would put in its own order, such as notes,
styles, and cues with a slip in them, is what must come through as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from lmcli.text.layout import Block
from lmcli.text.segment import lines

_TIMES = re.compile(r"\s*(?:\d+:)?\d+:\d+[,.]\d+\s*-->\s*(?:\d+:)?\d+:\d+[,.]\d+.*")
_SPEAKER = re.compile(r"\s*(?:[-–—]|<v\b|[^\W\d_]{1,20}:\s)")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_WIDE = re.compile(r"[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef]")
_OTHER = re.compile(r"(?:NOTE|STYLE|REGION)\b")


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a file: cues as texts of one line each, or a line a speaker, and all else kept."""
    whole = lines(text)
    cue: list[str] = []
    start, inside = 0, False
    for n, line in enumerate(whole):
        blank = not line.strip()
        if not blank and n and not whole[n - 1].strip() and _begins(whole, n):
            inside = False
        if inside and not blank and not _TIMES.fullmatch(line.strip()):
            start = start if cue else n + 1
            cue.append(line)
            continue
        yield from _cue(cue, start)
        cue = []
        inside = inside or bool(_TIMES.fullmatch(line.strip()))
        yield Block(line, False, n + 1)
    yield from _cue(cue, start)


def _begins(lines: Sequence[str], n: int) -> bool:
    """Whether what follows a blank line is no more of the cue: a note, a style, or the next cue with its number."""
    after = lines[n + 1].strip() if n + 1 < len(lines) else ""
    return bool(_OTHER.match(lines[n]) or _TIMES.fullmatch(lines[n].strip()) or _TIMES.fullmatch(after))


def wrapped(text: str, count: int, ending: str = "\n") -> str:
    """`text` on `count` lines of about the same length, or fewer where there are too few places to break it."""
    rest, made = text, list[str]()
    for left in range(count, 1, -1):
        aim = len(rest) / left
        places = [at for at in range(1, len(rest)) if _breaks(rest, at)]
        if not places:
            break
        at = min(places, key=lambda place: abs(place - aim) - 5 * (rest[place - 1] in ",.;:!?，。！？"))
        made.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return ending.join([*made, rest])


def _cue(cue: list[str], start: int) -> Iterator[Block]:
    if not cue:
        return
    if len(cue) == 1 or any(_SPEAKER.match(line) for line in cue[1:]):
        for n, line in enumerate(cue):
            yield from _line(line, start + n)
        return
    body = "".join(cue)
    ending = body[len(body.rstrip("\r\n")) :]
    between = "\r\n" if "\r\n" in body[: -len(ending) or None] else "\n"
    said = "".join(_glued(line.strip(), n > 0 and _needs_space(cue[n - 1], line)) for n, line in enumerate(cue))
    yield Block(said, True, start, body, _storing(len(cue), between, ending))


def _line(line: str, number: int) -> Iterator[Block]:
    """A line of its own: a dash, a speaker's tag and position codes before it stay out of the translator's sight."""
    lead = re.match(r"(?:\s|[-–—]|\{\\[^{}]*\})*", line)
    start = lead.end() if lead else 0
    if start:
        yield Block(line[:start], False, number)
    if line[start:]:
        yield Block(line[start:], True, number)


def _storing(count: int, between: str, ending: str) -> Callable[[str], str]:
    return lambda text: wrapped(text, count, between) + ending


def _glued(line: str, spaced: bool) -> str:
    return (" " if spaced else "") + line


def _needs_space(before: str, after: str) -> bool:
    return not (_WIDE.match(before.strip()[-1:]) and _WIDE.match(after.strip()[:1]))


def _breaks(text: str, at: int) -> bool:
    """Whether a line may end before `at`: at a space, or between two characters of Chinese or Japanese."""
    if text[at] == " ":
        return text[:at].count("<") == text[:at].count(">")
    return bool(_CJK.match(text[at - 1]) and _CJK.match(text[at])) or text[at - 1] in "，。！？、；："
