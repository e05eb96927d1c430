"""The chat's loop: read a line, follow it, draw the answer, until the user leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from lmcli.render.plain import statistics
from lmcli.repl.loading import Loading
from lmcli.repl.screen import Screen
from lmcli.repl.session import Session, Step, take_turn
from lmcli.repl.slash import follow
from lmcli.types import Event, Notice

MARK = ">>> "
LEAVING = "(Ctrl-C once more leaves, as do Ctrl-D and /exit)"


class Left(Exception):
    """The user left from the prompt; `code` is the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Reader(Protocol):
    """Where the user's messages come from."""

    def read(self, draft: str) -> str:
        """The next message, begun with `draft`. Raises Left, or what the load raised meanwhile."""


@dataclass(frozen=True)
class Chat:
    """Who takes part: the engine that loads, the reader, the screen, and where notices are reported."""

    loading: Loading
    reader: Reader
    screen: Screen
    report: Callable[[Event], None]

    def converse(self, session: Session, question: str | None = None) -> int:
        """Chat until the user leaves; returns the exit code. Raises what loading the checkpoint raised."""
        step = Step(session, question=question)
        if question:
            self.screen.echo(MARK, question)
        while not step.leave:
            try:
                step = self._next(step)
            except Left as left:
                return left.code
            except KeyboardInterrupt:
                # A second Ctrl-C, pressed while the first was still dealt with.
                step = Step(step.session)
        return 0

    def _next(self, step: Step) -> Step:
        if step.say:
            self.screen.say(step.say)
        if step.question is not None:
            return self._answer(step, step.question)
        line = self.reader.read(step.draft)
        session = step.session
        if self.loading.ended:
            session = replace(session, engine=self.loading.wait())
        return follow(line, session)

    def _answer(self, step: Step, question: str) -> Step:
        try:
            with self.screen.answer():
                session = self._loaded(step.session)
                self.screen.wait("…")
                after = take_turn(session, self.loading.wait(), question, self.screen.draw, step.retry)
        except KeyboardInterrupt:
            after = Step(replace(step.session, unanswered=question), interrupted=True)
        if after.interrupted:
            self.screen.typeahead.drop()
            self.screen.say("(interrupted)")
        if after.say:
            self.screen.say(after.say)
        last = after.session.last
        if last is not None and last is not step.session.last and last.finish_reason != "interrupted":
            self.report(Notice(statistics(last), verbose=True))
        self.screen.blank()
        return replace(after, say="", interrupted=False)

    def _loaded(self, session: Session) -> Session:
        """The session with its engine, for which it waits where it must."""
        if not self.loading.ended:
            self.screen.wait(f"loading {self.loading.name}…")
        session = replace(session, engine=self.loading.wait())
        self.screen.clear_wait()
        while self.loading.notices:
            self.report(self.loading.notices.pop(0))
        return session
