"""Scores: how well the numbers that a checkpoint gives go with those of people, as those of STS-B for likeness do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lmcli import tasks
from lmcli.data.examples import Example
from lmcli.errors import InputError, UsageError
from lmcli.evaluation.correlation import CorrelationScores
from lmcli.evaluation.marks import Mark, Marked, asked
from lmcli.evaluation.running import Report, outputs, tracked
from lmcli.protocols import Engine


@dataclass(frozen=True)
class ScoreEvaluator:
    """Texts, or pairs of texts, with a number, for a checkpoint that has one output (problem_type `regression`)."""

    task: ClassVar[str] = "score"
    opens: ClassVar[str] = "classify"

    examples: Sequence[Example]

    def __len__(self) -> int:
        return len(self.examples)

    def measure(self, engine: Engine, report: Report) -> Marked:
        if not tasks.is_classifier(engine) or len(engine.labels) != 1:
            raise UsageError(
                f"{engine.checkpoint.name} gives no numbers", "name a checkpoint with one output: lmcli evaluate -m REF"
            )
        wanted = [_number(example) for example in self.examples]
        found = tracked(outputs(engine, self.examples), len(self.examples), "texts", report)
        got = [value for values in found for value in values.values()]
        scores = CorrelationScores(wanted, got)
        marks = [
            Mark(asked(example), (example.answer,), f"{own:.3f}", own, None, -miss, example.place)
            for example, own, miss in zip(self.examples, got, scores.misses().tolist(), strict=True)
        ]
        return Marked(marks, scores, "output:as it is")


def number(text: str) -> float | None:
    """The number that a label is; None where it is none."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _number(example: Example) -> float:
    found = number(example.answer)
    if found is None:
        raise InputError(f"{example.place} has '{example.answer[:40]}', which is no number", "mend or remove the row")
    return found
