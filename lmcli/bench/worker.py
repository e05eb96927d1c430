"""The worker: a process that runs one side, or measures the machine; requests and answers are lines of JSON.

    {"do": "load", "side": "transformers", …}   →   {"value": {"version": "5.18", …}}
    {"do": "decode", "prompt": […], "steps": 64}   →   {"value": 1.7}   seconds
    whatever goes wrong   →   {"error": "UsageError", "message": …, "hint": …} or {"bug": traceback}

It ends with its standard input, so that none is left behind however its parent ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lmcli.bench import SIDES
from lmcli.errors import CheckpointError, LmcliError

if TYPE_CHECKING:
    from lmcli.bench.sides import Side


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # What a library prints must not be taken for an answer.
    session = _Session()
    try:
        for line in sys.stdin.buffer:
            answers.write(json.dumps(_answer(session, json.loads(line))) + "\n")
            answers.flush()
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # The parent has ended, or is about to.
    os._exit(0)


def cold() -> None:
    """Load the side that the first argument says, and print its first token: a peer's cold start."""
    request = json.loads(sys.argv[1])
    side = _module(request.pop("side"))
    if hasattr(side, "cold"):
        side.cold(**request)
    else:
        prompt = request.pop("prompt")
        print(side.load(**request).feed(prompt), flush=True)


class _Session:
    """The side that is loaded, and what is asked of it."""

    def __init__(self) -> None:
        self.side: Side | None = None

    def load(self, side: str, **arguments: Any) -> dict[str, Any]:
        start = time.perf_counter()
        try:
            self.side = _module(side).load(**arguments)
        except Exception as error:
            if side == "lmcli" or isinstance(error, LmcliError):
                raise
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise CheckpointError(f"cannot load the checkpoint: {reason}", "measure without it") from error
        return asdict(self._loaded().facts) | {"load_seconds": time.perf_counter() - start}

    def prefill(self, prompt: list[int]) -> float:
        """Seconds from an empty cache to the first token after `prompt`."""
        side = self._loaded()
        side.reset()
        start = time.perf_counter()
        side.feed(prompt)
        return time.perf_counter() - start

    def decode(self, prompt: list[int], steps: int) -> float:
        """Seconds of `steps` greedy steps behind `prompt`, which is fed before the clock starts."""
        side = self._loaded()
        side.reset()
        token = side.feed(prompt)
        start = time.perf_counter()
        for _ in range(steps):
            token = side.feed([token])
        return time.perf_counter() - start

    def answer(self, prompt: list[int], tokens: int) -> dict[str, Any]:
        """Seconds from an empty cache to the last of so many tokens behind `prompt`, and the passes behind it."""
        side = self._loaded()
        side.reset()
        start = time.perf_counter()
        passes = side.answer(prompt, tokens)
        return {"seconds": time.perf_counter() - start, "passes": passes}

    def batch(self, prompts: list[list[int]], steps: int) -> float:
        """Seconds of `steps` greedy steps of all prompts at once."""
        return self._loaded().batch(prompts, steps)

    def logits(self, prompt: list[int], ids: list[int]) -> list[float]:
        """The logits of the tokens `ids` after `prompt`."""
        side = self._loaded()
        side.reset()
        side.feed(prompt)
        return side.logits(ids)

    def device_memory(self) -> int | None:
        """The most bytes of GPU memory that torch held here; None where it is not loaded or sees no GPU."""
        torch = sys.modules.get("torch")
        if not torch or not torch.cuda.is_available():
            return None
        return sum(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count()))

    def machine(self, what: str, **arguments: Any) -> Any:
        """A function of sides/machine.py."""
        value = getattr(import_module("lmcli.bench.sides.machine"), what)(**arguments)
        torch = sys.modules.get("torch")
        if torch and torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # Else the sides lack what was read and multiplied.
        return value

    def question(self, **arguments: Any) -> list[int]:
        return import_module("lmcli.bench.sides.question").write(**arguments)

    def write_gguf(self, **arguments: Any) -> Any:
        return import_module("lmcli.bench.sides.gguf").write(**arguments)

    def _loaded(self) -> Side:
        assert self.side is not None
        return self.side


def _module(side: str) -> Any:
    return import_module(f"lmcli.bench.sides.{SIDES[side].module}")


def _answer(session: _Session, request: dict[str, Any]) -> dict[str, Any]:
    method: Callable[..., Any] = getattr(session, request.pop("do"))
    try:
        return {"value": method(**request)}
    except LmcliError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    except Exception:  # The parent shows it: there it is a bug with its traceback.
        return {"bug": traceback.format_exc()}
