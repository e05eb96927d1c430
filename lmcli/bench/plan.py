"""What is to be measured: the sides, the lengths, the rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmcli.text.sample import ARTICLE

MEASURES = ("decode", "prefill", "ttft", "answer", "cold", "batch")
UNITS = {"decode": "tokens/s", "prefill": "tokens/s", "ttft": "s", "answer": "s", "cold": "s", "batch": "tokens/s"}
SHORT_PROMPT = 24  # tokens; what a short question has with its template
BATCHES = (1, 2, 4, 8, 16)  # conversations decoded at once
BATCH_PROMPT = 16  # tokens of each of them
COLD_ROUNDS = 3  # at most: each starts a process that loads everything


@dataclass(frozen=True)
class Task:
    """One number to measure: `size` is the context of decode, the prompt of prefill, ttft and answer, the batch."""

    measure: str
    size: int


@dataclass(frozen=True)
class Plan:
    """Who is measured how often and on what.

    `against` are names of bench.SIDES, perhaps with a precision behind a colon. `options` are those the engine is
    loaded with. `scratch` is a folder for files that are gone at the end. An answer is one of `answer_tokens` to a
    prompt of at most `text_tokens` that asks for a summary of `text`; `question` is that prompt, once it is tokenized.
    """

    scratch: Path
    against: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 5
    tokens: int = 64
    contexts: tuple[int, ...] = (32, 512)
    prompts: tuple[int, ...] = (128, 600)
    measures: tuple[str, ...] = MEASURES
    text: str = ARTICLE
    text_tokens: int = 1500
    answer_tokens: int = 100
    question: tuple[int, ...] = ()

    def tasks(self) -> list[Task]:
        """Those of one process after another; `cold` and `batch` stand last."""
        sizes = {"decode": self.contexts, "prefill": self.prompts, "ttft": (SHORT_PROMPT,),
                 "answer": (len(self.question),) if self.question else (), "cold": (1,), "batch": BATCHES}  # fmt: skip
        return [Task(measure, size) for measure in MEASURES if measure in self.measures for size in sizes[measure]]

    def needed(self, task: Task) -> int:
        """Tokens of context that `task` fills."""
        answer, batch = task.size + self.answer_tokens, BATCH_PROMPT + self.tokens + 1
        return {"decode": task.size + self.tokens, "answer": answer, "batch": batch}.get(task.measure, task.size)
