"""Loops: where a model's answer begins to say the same words over and over, as small models do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lmcli.text.segment import sentences

_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_]+")
_LIST_NUMBER = re.compile(r"^\s*\d+[.)](?=\s)", re.MULTILINE)  # it counts on while the rest repeats
_BRIEF, _LONG = 10, 30  # words said twice more, or once more, that nobody repeats on purpose
_WINDOW = 4000  # characters; no longer answer is looked at, so that each new word costs the same


@dataclass(frozen=True)
class Repetition:
    """What a text says again: characters `start` to `end`; `sure` where it is a loop and no chance."""

    start: int
    end: int
    sure: bool


def without_loops(text: str) -> str:
    """The text with each loop said once."""
    tokens = _tokens(text)
    for run, length, period in _runs([word for word, _, _ in tokens]):
        if _is_loop(length, period):
            start, end = _cut(text, tokens, run, length)
            return (text[:start] + without_loops(text[end:])).rstrip()
    return text


def repetition(text: str) -> Repetition | None:
    """What the end of `text` says again of what stands before it, be it a word; None where its last word is new."""
    offset = max(len(text) - _WINDOW, 0)
    tokens = _tokens(text[offset:])
    words = [word for word, _, _ in tokens]
    # Of two periods the shorter: what is said every four words is said every eight too.
    length, shorter = max(((_tail(words, p), -p) for p in range(1, len(words))), default=(0, 0))
    if not length:
        return None
    start, end = _cut(text[offset:], tokens, len(words) - length, length)
    return Repetition(offset + start, offset + end, _is_loop(length, -shorter))


def _tokens(text: str) -> list[tuple[str, int, int]]:
    """Words, or Chinese and Japanese characters, in lower case, with where they stand."""
    plain = _LIST_NUMBER.sub(lambda found: " " * len(found[0]), text)
    return [(found[0].casefold(), found.start(), found.end()) for found in _TOKEN.finditer(plain)]


def _runs(words: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Runs of words that are those one period before, by where they begin: (begin, length, period)."""
    found = []
    for period in range(1, len(words) // 2 + 1):
        length = 0
        for at in range(period, len(words) + 1):
            if at < len(words) and words[at] == words[at - period]:
                length += 1
            elif length:
                found.append((at - length, length, period))
                length = 0
    yield from sorted(found)


def _tail(words: Sequence[str], period: int) -> int:
    """How many of the last words are those one `period` before."""
    length = 0
    while length < len(words) - period and words[-1 - length] == words[-1 - length - period]:
        length += 1
    return length


def _is_loop(length: int, period: int) -> bool:
    return length >= max(2 * period, _BRIEF) or length >= max(period, _LONG)


def _cut(text: str, tokens: Sequence[tuple[str, int, int]], run: int, length: int) -> tuple[int, int]:
    """From where to where `length` words from word `run` on are left out.

    It begins with a sentence if one begins there.
    """
    said = tokens[run - 1][2]  # where the word before ends
    end = tokens[run + length][1] if run + length < len(tokens) else len(text)
    position = 0
    for sentence in sentences(text[:end]):
        if said <= position < end:
            return position, end
        position += len(sentence)
    return tokens[run][1], end
