"""The log of a training run: a file of JSON lines in its folder, which a kill leaves readable."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lmcli.types import TrainingStep, Validation

TrainingEvent = TrainingStep | Validation
FILE = "training_log.jsonl"
_END = "end"
_EVENTS: dict[str, type[TrainingEvent]] = {"step": TrainingStep, "validation": Validation}


class TrainingLog:
    """The steps and validations of a run, each once.

    A run that was killed comes back to the last step that it kept, and goes on from there: what it did after that step
    is told a second time, and then only the second time counts.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def append(self, event: TrainingEvent) -> None:
        """Add a line at the end. Raises OSError where the disk does not take it."""
        self._add(_line(event))

    def _add(self, line: bytes) -> None:
        with self._file.open("a+b") as stream:
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":  # What a kill left half-written stays a line of its own.
                    stream.write(b"\n")
            stream.write(line)

    def events(self) -> list[TrainingEvent]:
        """All that is known of the run, by step; empty where there is no log. Lines that are no event are left out."""
        try:
            lines = self._file.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        kept: list[TrainingEvent] = []
        for line in lines:
            event = _read(line)
            if event is None:
                continue
            while kept and _undone(kept[-1], event):
                kept.pop()
            kept.append(event)
        return kept

    def end(self, fingerprint: str) -> None:
        """Add that the run came to its end, and which it was."""
        self._add(json.dumps({"event": _END, "fingerprint": fingerprint}).encode() + b"\n")

    @property
    def outcome_of(self) -> str | None:
        """The fingerprint of the run that came to its end last, None where none did."""
        try:
            last = self._file.read_bytes().splitlines()[-1]
            found = json.loads(last)
        except (OSError, ValueError, IndexError):
            return None
        return found.get("fingerprint") if isinstance(found, dict) and found.get("event") == _END else None

    def rewind(self, step: int) -> None:
        """Forget all after `step`, to which a resumed run goes back; 0 forgets all."""
        if not self._file.exists():
            return
        kept = [event for event in self.events() if 0 < step >= event.step]
        part = self._file.with_name(f".{FILE}.part")
        part.write_bytes(b"".join(map(_line, kept)))
        part.replace(self._file)


def steps(events: Iterable[TrainingEvent]) -> list[TrainingStep]:
    return [event for event in events if isinstance(event, TrainingStep)]


def validations(events: Iterable[TrainingEvent]) -> list[Validation]:
    return [event for event in events if isinstance(event, Validation)]


def _undone(before: TrainingEvent, event: TrainingEvent) -> bool:
    """Whether `event` tells again, or takes back, what `before` told; a step comes before its validation."""
    if before.step != event.step:
        return before.step > event.step
    return isinstance(event, TrainingStep) or isinstance(before, Validation)


def _line(event: TrainingEvent) -> bytes:
    kind = next(name for name, kept in _EVENTS.items() if isinstance(event, kept))
    return (json.dumps({"event": kind} | _finite(asdict(event)), ensure_ascii=False) + "\n").encode()


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: what has diverged is null."""
    return {
        name: _finite(value) if isinstance(value, Mapping)
        else None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }  # fmt: skip


def _read(line: bytes) -> TrainingEvent | None:
    """The event of a line, None where it is cut short or tells of something else."""
    try:
        values = json.loads(line)
        kind = _EVENTS[values["event"]]
        return kind(**{name: read(values[name]) for name, read in _READ[kind].items() if name in values})
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _numbers(values: Any) -> dict[str, float]:
    return {str(name): _number(value) for name, value in values.items()}


def _best(value: Any) -> float | None:
    return None if value is None else float(value)


_READ: dict[type[TrainingEvent], dict[str, Callable[[Any], Any]]] = {
    TrainingStep: {"step": int, "steps": int, "epoch": _number, "loss": _number, "learning_rate": _number,
                   "tokens_per_second": _number, "metric": str, "best": _best},
    Validation: {"step": int, "epoch": _number, "metrics": _numbers, "improved": bool},
}  # fmt: skip
