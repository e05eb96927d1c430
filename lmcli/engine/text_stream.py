"""From text to events: stop strings are cut off, reasoning is told from the answer; nothing is shown too early."""

from __future__ import annotations

from collections.abc import Iterator

from lmcli.types import Chunk, Event, Reasoning

# The marks of Qwen 3, SmolLM 3 and DeepSeek R1.
THINK, END_THINK = "<think>", "</think>"


class StopStrings:
    """Passes text through up to the first of `stop`, holding back an end that may become one."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._held = ""
        self.found = False

    def add(self, text: str) -> str:
        """What of the text so far cannot be part of a stop string any more."""
        self._held += text
        places = [self._held.find(stop) for stop in self._stop if stop in self._held]
        if places:
            self.found = True
            shown, self._held = self._held[: min(places)], ""
            return shown
        keep = max((overlap(self._held, stop) for stop in self._stop), default=0)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def finish(self) -> str:
        """The held back text, which became no stop string after all."""
        held, self._held = self._held, ""
        return held


class ReasoningFilter:
    """Turns text into Reasoning between <think> and </think> and into Chunks elsewhere.

    Only an answer that begins with <think> reasons; `thinking` says that the template has opened it already.
    """

    def __init__(self, thinking: bool) -> None:
        self._mark: str | None = END_THINK if thinking else THINK  # None once the answer itself has begun
        self._held = ""
        self._strip = thinking  # Blank space around the marks belongs to neither.

    def add(self, text: str) -> Iterator[Event]:
        self._held += text
        if self._mark == THINK:
            self._open()
        if self._mark == END_THINK:
            yield from self._think()
        if self._mark is None:
            yield from self._answer()

    def finish(self) -> Iterator[Event]:
        """What was held back: a mark that never came to its end."""
        if self._held:
            yield Reasoning(self._held) if self._mark == END_THINK else Chunk(self._held)
            self._held = ""

    def _open(self) -> None:
        opening = self._held.lstrip()
        if opening.startswith(THINK):
            self._mark, self._strip, self._held = END_THINK, True, opening[len(THINK) :]
        elif not THINK.startswith(opening):
            self._mark = None

    def _think(self) -> Iterator[Event]:
        thought, mark, self._held = self._held.partition(END_THINK)
        if not mark:
            keep = overlap(thought, END_THINK)
            thought, self._held = thought[: len(thought) - keep], thought[len(thought) - keep :]
        if self._strip:
            thought = thought.lstrip()
            self._strip = not thought
        if thought:
            yield Reasoning(thought)
        if mark:
            self._mark, self._strip = None, True

    def _answer(self) -> Iterator[Event]:
        text, self._held = self._held, ""
        if self._strip:
            text = text.lstrip()
            self._strip = not text
        if text:
            yield Chunk(text)


def overlap(text: str, mark: str) -> int:
    """The length of the longest end of `text` that begins `mark` without being all of it."""
    return next((n for n in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:n])), 0)
