"""Layout: a text as sentences to work on and all that stands around them, so that it can be put together again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lmcli.text.segment import lines, parts, sentences

Count = Callable[[str], int]
_URL = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\S+")


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
    return [segment for line in lines(text) for segment in _of_line(line, limit, count)]


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
    if lead:
        yield Segment("", lead)
    pieces = [piece for sentence in sentences(body) for piece in _fitting(sentence, limit, count)]
    for n, piece in enumerate(pieces):
        before, core, after = _trimmed(piece)
        last = n == len(pieces) - 1
        translatable = any(c.isalpha() for c in _URL.sub("", core))
        yield Segment(before + core, after + tail if last else after, translatable, last)


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
