"""The chat: `run` is the door to prompt_toolkit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lmcli.environment import Environment
from lmcli.protocols import CausalEngine
from lmcli.repl.session import Session
from lmcli.types import Event

Load = Callable[[Callable[[Event], None]], CausalEngine]  # Given where to report, returns the engine.


def run(
    session: Session,
    load: Load,
    environment: Environment,
    report: Callable[[Event], None],
    *,
    history: Path,
    question: str | None = None,
    color: bool = True,
) -> int:
    """Chat on this process's terminal until the user leaves; returns the exit code.

    The prompt is there at once and `load` runs behind it, in a thread. `report` is told what `load` had to
    say, `history` is the file of past questions, `question` one to begin with. Raises what `load` raises.
    """
    from lmcli.repl.loading import Loading
    from lmcli.repl.loop import Chat, Reader
    from lmcli.repl.screen import Screen

    screen = Screen(environment.stdin, environment.stdout, environment.variables, color)
    loading = Loading(load, session.checkpoint.name)
    reader: Reader
    if screen.dumb:
        from lmcli.repl.lines import Lines

        reader = Lines(environment.stdin, screen, loading)
    else:
        from lmcli.repl.prompt import Prompt

        reader = Prompt(history, environment.stdout, screen, loading)
    return Chat(loading, reader, screen, report).converse(session, question)
