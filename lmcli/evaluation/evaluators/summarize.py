"""Summaries: ROUGE-1, -2 and -L of what `lmcli summarize` writes of each text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lmcli.data.examples import Example
from lmcli.evaluation.marks import Mark, Marked
from lmcli.evaluation.rouge import RougeScores, unit_of
from lmcli.evaluation.running import Report, answers
from lmcli.protocols import Engine
from lmcli.tasks.summarize import Summarize


@dataclass(frozen=True)
class SummarizeEvaluator:
    """Texts with one or more summaries in one `language`, which the `how` of the task is to come near."""

    task: ClassVar[str] = "summarize"
    opens: ClassVar[str] = "summarize"

    examples: Sequence[Example]
    how: Summarize
    language: str | None

    def __len__(self) -> int:
        return len(self.examples)

    def measure(self, engine: Engine, report: Report) -> Marked:
        runs = self.how.run_many(engine, (example.text for example in self.examples))
        found = answers(self.examples, runs, report)
        texts = [answer.result.text for answer in found]
        scores = RougeScores(texts, [example.references for example in self.examples], self.language)
        rows = zip(self.examples, texts, scores.values[:, 0].tolist(), found, strict=True)
        marks = [
            Mark(example.text, example.references, text, own, None, own, example.place, answer.reason)
            for example, text, own, answer in rows
        ]
        return Marked(marks, scores, f"ROUGE|f1|{unit_of(self.language, stemming=True)}|refs:best")
