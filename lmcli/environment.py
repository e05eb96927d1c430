"""Where a run happens: its streams, its variables and how engines are loaded. Built once in cli.py, passed down."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

if TYPE_CHECKING:
    from lmcli.protocols import Engine


@dataclass(frozen=True)
class Environment:
    """The process as a value, so that a test can pass its own.

    `load` is `lmcli.engine.load` or, in a test, whatever returns a scripted engine; `begin` makes a start on what any
    load will need, in another thread.
    """

    stdin: BinaryIO
    stdout: TextIO
    stderr: TextIO
    variables: Mapping[str, str]
    load: Callable[..., Engine]
    begin: Callable[[], None] = lambda: None

    @staticmethod
    def of_process(load: Callable[..., Engine], begin: Callable[[], None] = lambda: None) -> Environment:
        """This process's own streams, in UTF-8 whatever the locale says, and its variables.

        A daemon may have been started without any of the three; libraries, too, then find a null device.
        """
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
            reconfigure: Any = getattr(getattr(sys, name), "reconfigure", None)
            if reconfigure:
                # A Windows pipe defaults to a legacy code page that cannot hold 中文, and doubles line ends.
                reconfigure(encoding="utf-8", errors="replace", newline="")
        stdin = io.BytesIO() if sys.stdin is None else sys.stdin.buffer
        return Environment(stdin, sys.stdout, sys.stderr, os.environ, load, begin)
