"""Stopping: a stream that is ended where what it says has become enough, or a repetition."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from lmcli.text.loops import repetition
from lmcli.types import Chunk, Done, Event, Notice, Usage

Safe = Callable[[str], tuple[int, Notice | None]]  # how much of a text may be shown, and why it ends there if it does


def stopped(
    events: Iterator[Event], safe: Safe, whole: Callable[[str], int], prompt_tokens: int, count: Callable[[str], int]
) -> Iterator[Event]:
    """`events` as far as `safe` lets them; `whole` is how much is shown of a text that ended by itself.

    What may turn out to be left out is held back until that is known. A stream that is ended early counts its tokens
    by `count`.
    """
    text, shown = "", 0
    start, first = time.perf_counter(), 0.0
    for event in events:
        if isinstance(event, Chunk):
            first = first or time.perf_counter() - start
            text += event.text
            end, ended = safe(text)
            if end > shown:
                yield Chunk(text[shown:end])
                shown = end
            if ended:
                yield ended
                spent = time.perf_counter() - start - first
                yield Done("stop", Usage(prompt_tokens, 0, count(text), first, spent))
                return
        else:
            if isinstance(event, Done) and (rest := text[shown : whole(text)].rstrip()):
                yield Chunk(rest)
            yield event


def without_loops(
    events: Iterator[Event], said: str, prompt_tokens: int, count: Callable[[str], int]
) -> Iterator[Event]:
    """`events` up to where the model begins to repeat itself, and then a Notice: `said`."""

    def safe(text: str) -> tuple[int, Notice | None]:
        repeated = repetition(text)
        end = len(text[: repeated.start if repeated else None].rstrip())
        return end, Notice(said) if repeated and repeated.sure else None

    def whole(text: str) -> int:
        return safe(text)[0] if (found := repetition(text)) and found.sure else len(text)

    return stopped(events, safe, whole, prompt_tokens, count)
