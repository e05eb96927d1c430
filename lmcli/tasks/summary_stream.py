"""The stream of a summary as it is written: ended where the model repeats itself or has said what was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from lmcli.tasks.stopping import stopped
from lmcli.tasks.summary_form import Layout, SummaryForm
from lmcli.text.loops import repetition
from lmcli.text.segment import lines, sentences
from lmcli.types import Chunk, Done, Event, Notice

LOOPED = "the model began to repeat itself: the summary ends there"
WROTE_ON = "the model wrote on; the summary ends where it was asked to"
_LABEL = re.compile(r"^(?:headline|title|标题|標題)\s*[:：]\s*", re.IGNORECASE)
_MARK = re.compile(r"^(?:[-*+]\s+|\d{1,3}[.)]\s+|\d{1,3}、|[•·]\s*)")
_WRAPPED = "\"'“”‘’«»「」『』*_#` "
_CERTAIN = re.compile(r"\w+\W+\w+\W+\w|[\u3040-\u30ff\u3400-\u9fff]{4}")  # more than what follows an abbreviation


def bounded(
    events: Iterator[Event], form: SummaryForm, prompt_tokens: int, count: Callable[[str], int]
) -> Iterator[Event]:
    """`events` up to the sentences (bullets, or line of a headline) that `form` asks for, and without a loop."""
    return stopped(events, partial(_safe, form=form), partial(_whole, form=form), prompt_tokens, count)


def shaped(events: Iterator[Event], layout: Layout) -> Iterator[Event]:
    """`events` in the `layout` that a model was asked for and may have kept to."""
    if layout == "paragraph":
        return events
    return _bulleted(events) if layout == "bullets" else _headline(events)


def _bulleted(events: Iterator[Event]) -> Iterator[Event]:
    """`events` a line at a time, each with the one mark of a list, whatever mark the model gave it or left out."""
    line, before = "", ""
    for event in events:
        if isinstance(event, Chunk):
            *whole, line = f"{line}{event.text}".split("\n")
        else:
            whole = [line] if isinstance(event, Done) else []
        for item in filter(None, map(str.strip, whole)):
            yield Chunk(f"{before}- {_MARK.sub('', item)}")
            before = "\n"
        if not isinstance(event, Chunk):
            yield event


def _headline(events: Iterator[Event]) -> Iterator[Event]:
    """`events` with the line they write as one Chunk, without the marks and quotes that models put around it."""
    text = ""
    for event in events:
        if isinstance(event, Chunk):
            text += event.text
            continue
        if isinstance(event, Done):
            yield Chunk(_LABEL.sub("", text.strip().strip(_WRAPPED)).strip(_WRAPPED))
        yield event


def _safe(text: str, form: SummaryForm) -> tuple[int, Notice | None]:
    """How much of `text` may be shown, and why it ends there if it does."""
    repeated = repetition(text)
    if repeated and repeated.sure:
        return len(text[: repeated.start].rstrip()), Notice(LOOPED)
    safe = _end(text, form)
    if safe < len(text) and (form.layout != "paragraph" or _CERTAIN.search(text[safe:])):
        return len(text[:safe].rstrip()), Notice(WROTE_ON, verbose=True)
    return len(text[: min(safe, repeated.start if repeated else safe)].rstrip()), None


def _whole(text: str, form: SummaryForm) -> int:
    """How much of a text that ended by itself is shown."""
    return _safe(text, form)[0] if (found := repetition(text)) and found.sure else _end(text, form)


def _end(text: str, form: SummaryForm) -> int:
    """Where the last sentence that was asked for ends; the end of `text` where there are no more."""
    if form.sentences is None:
        return len(text)
    position = filled = 0
    for piece in sentences(text) if form.layout == "paragraph" else lines(text):
        if piece.strip() and filled == form.sentences:
            return position
        filled += bool(piece.strip())
        position += len(piece)
    return position
