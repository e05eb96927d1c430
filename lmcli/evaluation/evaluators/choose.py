"""Multiple choice: which of several answers a language model finds likeliest, as HellaSwag, ARC and MMLU ask it.

Accuracy by the likelihood of the whole answer favours short ones; normalized by its length in characters it is the
`acc_norm` of EleutherAI's lm-evaluation-harness, whose `acc` is the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lmcli import tasks
from lmcli.data.examples import Example
from lmcli.errors import OF_ONE_TEXT, LmcliError
from lmcli.evaluation.bootstrap import Means
from lmcli.evaluation.marks import Mark, Marked
from lmcli.evaluation.running import Report, tracked
from lmcli.protocols import CausalEngine, Engine
from lmcli.types import Notice

NAMES = ("accuracy", "accuracy_normalized")
QUESTION, CONTINUED = "Question: {text}\nAnswer:", "{text}"


@dataclass(frozen=True)
class ChooseEvaluator:
    """Texts with several continuations, one of which is right. `prompt` is written before each, with the text in the
    place of {text}."""

    task: ClassVar[str] = "choose"
    opens: ClassVar[str] = "generate"

    examples: Sequence[Example]
    prompt: str = QUESTION

    def __len__(self) -> int:
        return len(self.examples)

    def measure(self, engine: Engine, report: Report) -> Marked:
        if not tasks.is_causal(engine):
            raise tasks.refusal(engine, "generate")
        marks, rows = [], []
        errors: list[LmcliError] = []
        for example in tracked(self.examples, len(self.examples), "questions", report):
            try:
                mark, normalized = _mark(example, self._likelihoods(engine, example))
            except OF_ONE_TEXT as error:
                report(Notice(f"{example.place}: {error.message}"))
                errors.append(error)
                mark, normalized = _failed(example, error), False
            marks.append(mark)
            rows.append((float(bool(mark.right)), float(normalized)))
        if errors and len(errors) == len(marks):
            raise errors[0]
        values = np.array(rows, dtype=float).reshape(-1, len(NAMES))
        return Marked(marks, Means(NAMES, values), f"prompt:{self.prompt!r}|normalized:characters")

    def _likelihoods(self, engine: CausalEngine, example: Example) -> list[float]:
        before = self.prompt.replace("{text}", example.text)
        return engine.score(before, [f"{_joint(before)}{choice}" for choice in example.choices])


def _joint(before: str) -> str:
    """What stands between a prompt and its continuation: nothing where one writes no spaces."""
    return "" if not before or before[-1].isspace() or before[-1] >= "\u3000" else " "


def _mark(example: Example, likelihoods: Sequence[float]) -> tuple[Mark, bool]:
    """The mark of the likeliest choice, and whether the likeliest for its length is right."""
    by_length = [own / max(len(choice), 1) for own, choice in zip(likelihoods, example.choices, strict=True)]
    likeliest, normalized = (example.choices[_highest(values)] for values in (likelihoods, by_length))
    # How far the right one is behind: the most where the checkpoint was surest of another.
    right = max(own for own, choice in zip(likelihoods, example.choices, strict=True) if choice == example.answer)
    behind = right - max(likelihoods)
    found = Mark(
        example.text, (example.answer,), likeliest, behind, likeliest == example.answer, behind, example.place
    )  # fmt: skip
    return found, normalized == example.answer


def _failed(example: Example, error: LmcliError) -> Mark:
    return Mark(example.text, (example.answer,), "", None, False, -math.inf, example.place, error.message)


def _highest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda i: values[i])
