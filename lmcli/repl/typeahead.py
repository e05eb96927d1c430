"""What is typed while an answer streams: kept off the screen, and given to the next prompt."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import BinaryIO

try:
    import termios
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]


class Typeahead:
    """The keyboard while nobody asks for a line."""

    def __init__(self, stdin: BinaryIO) -> None:
        self._stdin = stdin
        self._typed = b""

    def take(self) -> str:
        """What was typed, once."""
        typed, self._typed = self._typed, b""
        return typed.decode("utf-8", errors="replace")

    def drop(self) -> None:
        """Forget what was typed, as a terminal does at Ctrl-C."""
        self._typed = b""

    @contextmanager
    def collect(self, read: bool) -> Iterator[None]:
        """Switch the echo off meanwhile; `read` also takes the keys out of the terminal's queue.

        The queue holds 4 kB and Ctrl-C comes in at its end: behind a long paste it would never be heard.
        """
        if termios is None or not self._stdin.isatty():
            yield
            return
        before = termios.tcgetattr(self._stdin)
        quiet = [*before[:6], list(before[6])]
        # At Ctrl-C a terminal drops what it has yet to draw; NOFLSH keeps it.
        quiet[3] = (before[3] & ~(termios.ECHO | termios.ICANON)) | termios.NOFLSH
        quiet[6][termios.VMIN], quiet[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._stdin, termios.TCSANOW, quiet)
        try:
            if read:
                with self._reading():
                    yield
            else:
                yield
        finally:
            termios.tcsetattr(self._stdin, termios.TCSANOW, before)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        end_read, end_write = os.pipe()
        thread = Thread(target=self._read, args=(self._stdin.fileno(), end_read), daemon=True)
        thread.start()
        try:
            yield
        finally:
            os.close(end_write)
            thread.join()
            os.close(end_read)

    def _read(self, keyboard: int, end: int) -> None:
        while True:
            ready, _, _ = select.select([keyboard, end], [], [])
            if keyboard in ready:
                typed = os.read(keyboard, 65536)
                if not typed:
                    return
                self._typed += typed
            elif end in ready:
                return
