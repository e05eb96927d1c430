"""Questions: exact match and F1 of what `lmcli ask` answers out of each text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from lmcli.data.examples import Example
from lmcli.evaluation.bootstrap import Means
from lmcli.evaluation.marks import Mark, Marked
from lmcli.evaluation.running import Answer, Report, answers
from lmcli.evaluation.squad import exact_match, f1
from lmcli.protocols import Engine
from lmcli.tasks.ask import Ask
from lmcli.tasks.ask_prompt import declines
from lmcli.tasks.side_by_side import side_by_side
from lmcli.types import Event, SamplingParams

NAMES = ("exact_match", "f1")


@dataclass(frozen=True)
class AskEvaluator:
    """Questions, each about a text of its own, with one or more answers; without any the text holds none.

    A checkpoint that declines, in the words it is told to decline in, has answered that there is none. In `chinese`
    answers are compared by CMRC's rules, else by SQuAD's.
    """

    task: ClassVar[str] = "ask"
    opens: ClassVar[str] = "ask"

    examples: Sequence[Example]
    chinese: bool
    params: SamplingParams = field(default_factory=SamplingParams)

    def __len__(self) -> int:
        return len(self.examples)

    def measure(self, engine: Engine, report: Report) -> Marked:
        found = answers(self.examples, self._runs(engine), report)
        said = [_said(answer) for answer in found]
        wanted = [example.references or ("",) for example in self.examples]
        values = [
            (float(exact_match(text, right, self.chinese)), f1(text, right, self.chinese))
            for text, right in zip(said, wanted, strict=True)
        ]
        marks = [
            Mark(f"{example.second}", right, text, share, bool(exact), share, example.place, answer.reason)
            for example, right, text, (exact, share), answer
            in zip(self.examples, wanted, said, values, found, strict=True)
        ]  # fmt: skip
        scores = Means(NAMES, np.array(values, dtype=float).reshape(-1, len(NAMES)))
        return Marked(marks, scores, "CMRC2018|characters" if self.chinese else "SQuAD|words")

    def _runs(self, engine: Engine) -> Iterator[Iterator[Event]]:
        """The answers, several worked at once. Each has a question of its own, so a number stands for text and
        question."""

        def run(engine: Any, number: str) -> Iterator[Event]:
            example = self.examples[int(number)]
            return Ask(example.second or "", self.params).run(engine, example.text)

        return side_by_side(run, engine, map(str, range(len(self.examples))))


def _said(answer: Answer) -> str:
    text = answer.result.text.strip()
    return "" if declines(text) else text
