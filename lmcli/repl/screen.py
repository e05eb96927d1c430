"""The chat's screen: draws answers as they stream, and lets no control character of theirs through."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, TextIO

from lmcli.repl.typeahead import Typeahead
from lmcli.text.printable import printable
from lmcli.types import Chunk, Event, Notice, Reasoning


class Screen:
    """A terminal; a `dumb` one can neither move its cursor nor dim its text."""

    def __init__(self, stdin: BinaryIO, stdout: TextIO, variables: Mapping[str, str], color: bool = True) -> None:
        self.dumb = variables.get("TERM") == "dumb"
        self.color = color and not self.dumb and not variables.get("NO_COLOR")
        self.typeahead = Typeahead(stdin)
        self._stdout = stdout
        self._line_open = False  # The cursor stands behind text, not at the beginning of a line.
        self._waiting = self._thinking = self._answering = False

    @contextmanager
    def answer(self) -> Iterator[None]:
        """An answer is drawn here; afterwards its line is ended."""
        self._thinking = self._answering = False
        try:
            with self.typeahead.collect(read=not self.dumb):
                self._bracket_pastes(True)
                yield
        finally:
            self._bracket_pastes(False)
            self.clear_wait()
            self._end_line()

    def draw(self, event: Event) -> None:
        """Draw one event of an answer: its text, what the model thinks before, a notice."""
        match event:
            case Reasoning(text):
                self._begin(thinking=True)
                self._write(text, dim=True)
            case Chunk(text):
                # Many checkpoints open with blank lines; on a screen they only push the question away.
                text = text if self._answering else text.lstrip("\n")
                if text:
                    self._begin(thinking=False)
                    self._answering = True
                    self._write(text)
            case Notice(text, verbose=False):
                self.say(text)

    def say(self, text: str) -> None:
        """Whole dim lines: what the chat itself has to say."""
        self.clear_wait()
        self._end_line()
        self._write(text, dim=True)
        self._end_line()

    def echo(self, mark: str, text: str) -> None:
        """A question that was not typed here, as if it had been."""
        self._write(mark + text)
        self._end_line()

    def ask(self, mark: str) -> None:
        """Write the mark of a prompt; what the user types behind it ends the line."""
        self._write(mark)
        self._line_open = False

    def blank(self) -> None:
        self._write("\n")

    def wait(self, text: str) -> None:
        """Say what is being waited for, until something else is written."""
        self.clear_wait()
        if self.dumb:
            return
        self._write(text[: shutil.get_terminal_size().columns - 1], dim=True)
        self._waiting = True

    def clear_wait(self) -> None:
        if self._waiting:
            self._stdout.write("\r\x1b[K")
            self._stdout.flush()
            self._waiting = self._line_open = False

    def _bracket_pastes(self, on: bool) -> None:
        # Lines pasted while an answer streams are one message at the next prompt, not one each.
        if not self.dumb:
            self._stdout.write(f"\x1b[?2004{'h' if on else 'l'}")
            self._stdout.flush()

    def _begin(self, thinking: bool) -> None:
        self.clear_wait()
        if self._thinking and not thinking:
            self._end_line()
            self._write("\n")
        self._thinking = thinking

    def _end_line(self) -> None:
        if self._line_open:
            self._write("\n")

    def _write(self, text: str, dim: bool = False) -> None:
        text = printable(text)
        if not text:
            return
        self._stdout.write(f"\x1b[2m{text}\x1b[22m" if dim and self.color else text)
        self._stdout.flush()
        self._line_open = not text.endswith("\n")
