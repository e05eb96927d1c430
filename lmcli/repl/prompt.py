"""The chat's prompt: keys, completion, history and toolbar; the only file that imports prompt_toolkit."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.history import FileHistory
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.styles import Style

from lmcli.parameters import PARAMETERS
from lmcli.repl.loading import Loading
from lmcli.repl.loop import LEAVING, MARK, Left
from lmcli.repl.screen import Screen
from lmcli.repl.slash import COMMANDS, is_open

_CPR_SECONDS = 0.2


class Prompt:
    """Reads messages on a terminal, and starts `loading` once the first prompt has been drawn."""

    def __init__(self, history: Path, stdout: TextIO, screen: Screen, loading: Loading) -> None:
        self._screen, self._loading = screen, loading
        self._interrupts = 0  # Ctrl-C in a row on an empty line.
        self._session: PromptSession[str] = PromptSession(
            MARK,
            multiline=True,
            prompt_continuation=_continuation,
            history=PrivateHistory(history),
            completer=SlashCompleter(),
            complete_while_typing=False,
            key_bindings=self._keys(),
            bottom_toolbar=f"loading {loading.name}…",
            style=Style.from_dict({"bottom-toolbar": "noreverse dim" if screen.color else "noreverse"}),
            color_depth=None if screen.color else ColorDepth.DEPTH_1_BIT,
            enable_suspend=True,
            enable_open_in_editor=True,
            output=create_output(stdout),
        )
        self._session.app.before_render += self._before_render
        self._session.app.after_render += self._after_render
        self._session.default_buffer.on_text_changed += self._on_text_changed
        loading.on_end(self._redraw)

    def read(self, draft: str) -> str:
        self._interrupts = 0
        self._type(self._screen.typeahead.take())
        try:
            return self._session.prompt(default=draft)
        except EOFError:
            raise Left(0) from None

    def _redraw(self) -> None:
        """Draw the prompt anew where it still waits; a line that was entered meanwhile took its event loop along."""
        with suppress(RuntimeError):
            self._session.app.invalidate()

    def _type(self, text: str) -> None:
        """Have the prompt begin with these keys."""
        pressed: list[KeyPress] = []
        parser = Vt100Parser(pressed.append)
        parser.feed_and_flush(text)
        store_typeahead(self._session.app.input, pressed)

    def _before_render(self, app: Application[str]) -> None:
        if self._loading.ended:
            self._session.bottom_toolbar = None

    def _after_render(self, app: Application[str]) -> None:
        if self._loading.error is not None:
            self._end(app, self._loading.error)
        elif app.renderer.height_is_known:
            self._loading.start()
        elif app.loop is not None:
            # Importing torch holds the interpreter: let the terminal first say where its cursor is, since the
            # toolbar is drawn only then. Not every terminal does.
            app.loop.call_later(_CPR_SECONDS, self._loading.start)

    def _on_text_changed(self, _: object) -> None:
        self._interrupts = 0

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        at_prompt = has_focus(DEFAULT_BUFFER)
        keys.add("enter", filter=at_prompt)(_send)
        keys.add("escape", "enter", filter=at_prompt)(_new_line)
        keys.add("c-c", filter=at_prompt)(self._interrupt)
        keys.add(Keys.SIGINT)(self._interrupt)
        return keys

    def _interrupt(self, event: KeyPressEvent) -> None:
        buffer = event.app.current_buffer
        if buffer.text:
            buffer.reset()
            return
        self._interrupts += 1
        if self._interrupts == 1:
            run_in_terminal(lambda: self._screen.say(LEAVING))
        else:
            self._end(event.app, Left(130))

    def _end(self, app: Application[str], error: BaseException) -> None:
        if app.future is not None and not app.future.done():
            app.exit(exception=error)


def _continuation(width: int, line: int, wraps: int) -> str:
    return " " * width if wraps else "... "


def _send(event: KeyPressEvent) -> None:
    buffer = event.app.current_buffer
    if is_open(buffer.text):
        _new_line(event)
    else:
        buffer.validate_and_handle()


def _new_line(event: KeyPressEvent) -> None:
    event.app.current_buffer.insert_text("\n")


class SlashCompleter(Completer):
    """Slash commands, and the names that /set knows."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        word = document.get_word_before_cursor(WORD=True)
        if " " not in text:
            for name, command in COMMANDS.items():
                if f"/{name}".startswith(word):
                    yield Completion(f"/{name}", -len(word), display_meta=command.help)
        elif text.startswith("/set ") and text.count(" ") == 1:
            for name, parameter in PARAMETERS.items():
                if name.startswith(word):
                    yield Completion(name, -len(word), display_meta=parameter.takes)


class PrivateHistory(FileHistory):
    """prompt_toolkit's history file, readable by its owner alone. One that cannot be kept is done without."""

    def load_history_strings(self) -> Iterable[str]:
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        lines = "".join(f"+{line}\n" for line in string.split("\n"))
        entry = f"\n# {datetime.now()}\n{lines}".encode("utf-8", errors="replace")
        path = Path(os.fsdecode(self.filename))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                # One write for an entry: two chats that append at once do not mix theirs.
                os.write(file, entry)
            finally:
                os.close(file)
        except OSError:
            return
