"""The prompt of a dumb terminal: plain lines, and a block in triple quotes for several."""

from __future__ import annotations

from typing import BinaryIO

from lmcli.repl.loading import Loading
from lmcli.repl.loop import LEAVING, MARK, Left
from lmcli.repl.screen import Screen
from lmcli.repl.slash import is_open


class Lines:
    """Reads messages a line at a time; the terminal itself does the editing."""

    def __init__(self, stdin: BinaryIO, screen: Screen, loading: Loading) -> None:
        self._stdin, self._screen, self._loading = stdin, screen, loading

    def read(self, draft: str) -> str:
        if draft:
            self._screen.say(f"(edit and send again)\n{draft}")
        for interrupts in range(2):
            try:
                return self._message()
            except KeyboardInterrupt:
                self._screen.blank()
                if interrupts == 0:
                    self._screen.say(LEAVING)
        raise Left(130)

    def _message(self) -> str:
        message = self._line(MARK)
        while is_open(message):
            message += "\n" + self._line("... ")
        return message

    def _line(self, mark: str) -> str:
        self._screen.ask(mark)
        self._loading.start()
        line = self._stdin.readline()
        if not line:
            self._screen.blank()
            raise Left(0)
        return line.decode("utf-8", errors="replace").rstrip("\r\n")
