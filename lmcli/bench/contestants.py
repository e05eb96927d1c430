"""Who takes part: each side loaded in a worker of its own, and the program that starts it cold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from lmcli.bench import OWN, SIDES
from lmcli.bench.plan import SHORT_PROMPT, Plan
from lmcli.bench.process import Crashed, Worker, python
from lmcli.bench.report import SideReport
from lmcli.bench.work import Work
from lmcli.errors import UsageError
from lmcli.types import Checkpoint, Event, Notice

_QUESTION = "What is the capital of France?"


class Contestant:
    """A side in its worker, loaded."""

    def __init__(self, name: str, worker: Worker, request: Mapping[str, Any], command: Sequence[str]) -> None:
        self.name, self.worker, self.command = name, worker, command
        self.facts = worker.ask("load", **request)
        self.peaks: tuple[int, int] = (0, 0)
        self.device_peak: int | None = None
        self.logits_error: float | None = None

    def remember_memory(self) -> None:
        """Keep the peaks up to now."""
        self.peaks = self.worker.memory.peaks()
        self.device_peak = self.worker.ask("device_memory")

    def report(self, work: Work | None) -> SideReport:
        return SideReport(
            name=self.name,
            version=self.facts["version"],
            precision=self.facts["precision"],
            load_seconds=self.facts["load_seconds"],
            weight_bytes=round(work.weights * self.facts["bytes_per_weight"]) if work else None,
            peak_bytes=self.peaks[0] or None,
            peak_anonymous_bytes=self.peaks[1] or None,
            peak_device_bytes=self.device_peak,
            logits_error=self.logits_error,
        )


def check(checkpoint: Checkpoint, names: Sequence[str]) -> None:
    """Raises UsageError for a checkpoint that cannot be measured or a side that is not installed."""
    if checkpoint.kind != "causal":
        raise UsageError(
            f"bench measures causal checkpoints, and {checkpoint.name} is none (it is a {checkpoint.kind})",
            "name one that chats: lmcli list --all",
        )
    for name in names:
        side = name.partition(":")[0]
        if find_spec(SIDES[side].imports) is None:
            raise UsageError(f"{side} is not installed", f"install it beside lmcli: pip install {SIDES[side].package}")


def enter(
    name: str, checkpoint: Checkpoint, plan: Plan, described: Mapping[str, Any], machine: Worker, stack: ExitStack,
    report: Callable[[Event], None],
) -> Contestant:  # fmt: skip
    """The side `name`, loaded in a worker that ends with `stack`."""
    side, _, kind = name.partition(":")
    device = described["device"].partition(" ")[0]
    request = {"side": side, "checkpoint": as_request(checkpoint), "kind": kind or None,
               "device": device, "threads": described["threads"],
               "options": dict(plan.options) | (OWN.get(kind, {}) if side == "lmcli" else {})}  # fmt: skip
    if side == "llama.cpp":
        request |= {"context": max((plan.needed(task) for task in plan.tasks()), default=SHORT_PROMPT) + 1}
        report(Notice(f"writing {checkpoint.name} as GGUF for llama.cpp", verbose=True))
        form = {"checkpoint": request["checkpoint"], "kind": request["kind"], "folder": str(plan.scratch)}
        request |= machine.ask("write_gguf", **form)
    report(Notice(f"loading {checkpoint.name} in {name}", verbose=True))
    try:
        return _load(name, checkpoint, request, stack)
    except Crashed:
        if side != "llama.cpp":
            raise
    report(Notice(f"{name} crashes with its weights in the layout for this CPU; it is measured without that layout"))
    return _load(name, checkpoint, request | {"repack": False}, stack)


def _load(name: str, checkpoint: Checkpoint, request: Mapping[str, Any], stack: ExitStack) -> Contestant:
    worker = stack.enter_context(Worker(name))
    return Contestant(name, worker, request, _cold_command(checkpoint, request))


def _cold_command(checkpoint: Checkpoint, request: Mapping[str, Any]) -> list[str]:
    """The program whose time to its first token is a side's cold start."""
    if request["side"] != "lmcli":
        prompt = list(range(SHORT_PROMPT))
        return python("lmcli.bench.worker", "cold", json.dumps({**request, "prompt": prompt}))
    chat = ["--chat"] if checkpoint.instruct else []
    arguments = ["generate", "-m", str(checkpoint.path), "--offline", *chat, "--max-tokens", "1"]
    return python("lmcli.cli", "main", *arguments, *flags(request["options"]), _QUESTION)


def as_request(checkpoint: Checkpoint) -> dict[str, Any]:
    """Its fields as JSON has them."""
    return asdict(checkpoint) | {"path": str(checkpoint.path)}


def flags(options: Mapping[str, Any]) -> list[str]:
    """The options an engine is loaded with, as they are given on the command line."""
    found: list[str] = []
    for name, value in options.items():
        if value:
            found += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return found
