"""Processes of our own: a worker that answers requests, and how long a program takes from nothing to its first byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from lmcli import errors
from lmcli.bench.memory import MemoryWatch
from lmcli.errors import LmcliError

_ROOT = str(Path(__file__).parents[2])


class Crashed(LmcliError):
    """A process of ours was ended by a signal that it did not expect."""


def python(module: str, function: str, *arguments: str) -> list[str]:
    """The command that calls `function` of `module` in a process of its own, with this very lmcli.

    `python -m` would look for modules in the user's folder first.
    """
    program = f"import sys; sys.path[0] = {_ROOT!r}; from {module} import {function}; {function}()"
    return [sys.executable, "-c", program, *arguments]


class Worker:
    """A process of lmcli.bench.worker; leaving the context ends it, whatever it is doing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = _start(python("lmcli.bench.worker", "main"), self._errors, stdin=subprocess.PIPE)
        self.memory = MemoryWatch(self._process.pid)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.memory.stop()
        _end(self._process, self._errors)

    def ask(self, do: str, **arguments: Any) -> Any:
        """The worker's answer to one request. Raises the LmcliError that it met, RuntimeError for a bug or a crash."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise _died(self.name, self._process, self._errors)
        answer = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["error"], LmcliError)
            raise kind(f"{self.name}: {answer['message']}", answer["hint"])
        if "bug" in answer:
            raise RuntimeError(f"{self.name} failed at '{do}':\n{answer['bug']}")
        return answer["value"]


def seconds_to_first_byte(name: str, command: Sequence[str]) -> float:
    """From the start of a process to its first byte on stdout, or its end where it writes none.

    Raises LmcliError for a program that fails.
    """
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = _start(command, log)
        try:
            assert process.stdout is not None
            process.stdout.read(1)
            seconds = time.perf_counter() - start
            process.stdout.read()
            if process.wait() != 0:
                raise _died(name, process, log)
        finally:
            _end(process)
    return seconds


def _start(command: Sequence[str], log: IO[bytes], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """A process in a session of its own: Ctrl-C on the terminal is ours to hear, and we end it."""
    # The checkpoint is here: no side may ask the network for anything.
    variables = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=log, env=variables, start_new_session=True
    )


def _end(process: subprocess.Popen[bytes], *files: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, *files):
        try:
            if stream is not None:
                stream.close()
        except BrokenPipeError:
            pass  # A request it did not live to read.


def _died(name: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> LmcliError:
    code = process.wait()
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    # SIGKILL is the kernel's answer to memory that is not there.
    kind = errors.OutOfMemory if code == -9 else Crashed if code < 0 else LmcliError
    return kind(f"{name} {how}" + (f": {lines[-1]}" if lines else ""), "measure without it, or a smaller checkpoint")
