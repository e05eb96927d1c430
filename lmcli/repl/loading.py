"""An engine that loads in a thread while the user already types."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError

from lmcli.protocols import CausalEngine
from lmcli.repl import Load
from lmcli.types import Event


class Loading:
    """One load, begun by `start`; `notices` keeps what it reports until the screen is free to show it."""

    def __init__(self, load: Load, name: str) -> None:
        self.name = name
        self.notices: list[Event] = []
        self._load = load
        self._future: Future[CausalEngine] = Future()
        self._started = False

    @property
    def ended(self) -> bool:
        return self._future.done()

    @property
    def error(self) -> BaseException | None:
        """What the load raised, once it has ended."""
        return self._future.exception() if self._future.done() else None

    def start(self) -> None:
        """Begin, once; later calls do nothing."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name="loading", daemon=True).start()

    def on_end(self, call: Callable[[], None]) -> None:
        """Have `call` called, from the loading thread, when the load has ended."""
        self._future.add_done_callback(lambda _: call())

    def wait(self) -> CausalEngine:
        """The engine, once it is there. Ctrl-C ends the wait, not the load. Raises what the load raised."""
        self.start()
        while True:
            try:
                return self._future.result(timeout=0.1)  # Windows lets no Ctrl-C into an endless wait.
            except TimeoutError:
                if self._future.done():
                    raise

    def _run(self) -> None:
        try:
            engine = self._load(self.notices.append)
        except BaseException as error:
            self._future.set_exception(error)
        else:
            self._future.set_result(engine)
            engine.prepare()  # The user is still typing.
