"""What is to be measured: the sides, the lengths, the rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEASURES = ("decode", "prefill", "ttft", "cold", "batch")
UNITS = {"decode": "tokens/s", "prefill": "tokens/s", "ttft": "s", "cold": "s", "batch": "tokens/s"}
SHORT_PROMPT = 24  # tokens; what a short question has with its template
BATCHES = (1, 2, 4, 8)  # conversations decoded at once
BATCH_PROMPT = 16  # tokens of each of them
COLD_ROUNDS = 3  # at most: each starts a process that loads everything


@dataclass(frozen=True)
class Task:
    """One number to measure: `size` is the context of decode, the prompt of prefill and ttft, the batch."""

    measure: str
    size: int


@dataclass(frozen=True)
class Plan:
    """Who is measured how often and on what.

    `against` are names of bench.SIDES, perhaps with a precision behind a colon. `options` are those the engine is
    loaded with. `scratch` is a folder for files that are gone at the end.
    """

    scratch: Path
    against: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 5
    tokens: int = 64
    contexts: tuple[int, ...] = (32, 512)
    prompts: tuple[int, ...] = (128, 600)
    measures: tuple[str, ...] = MEASURES

    def tasks(self) -> list[Task]:
        """Those of one process after another; `cold` and `batch` stand last."""
        sizes = {"decode": self.contexts, "prefill": self.prompts, "ttft": (SHORT_PROMPT,), "cold": (1,),
                 "batch": BATCHES}  # fmt: skip
        return [Task(measure, size) for measure in MEASURES if measure in self.measures for size in sizes[measure]]

    def needed(self, task: Task) -> int:
        """Tokens of context that `task` fills."""
        return {"decode": task.size + self.tokens, "batch": BATCH_PROMPT + self.tokens + 1}.get(task.measure, task.size)
