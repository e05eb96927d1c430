"""Translation: BLEU and chrF2 of what `lmcli translate` makes of each text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar

from lmcli.data.examples import Example
from lmcli.evaluation.marks import Mark, Marked
from lmcli.evaluation.running import Report, answers
from lmcli.evaluation.translation import TranslationScores
from lmcli.protocols import Engine
from lmcli.tasks.translate import Translate
from lmcli.types import SamplingParams


@dataclass(frozen=True)
class TranslateEvaluator:
    """Texts with one or more translations, all from one language `source` into another `target`."""

    task: ClassVar[str] = "translate"
    opens: ClassVar[str] = "translate"

    examples: Sequence[Example]
    source: str
    target: str
    params: SamplingParams = field(default_factory=SamplingParams)

    def __len__(self) -> int:
        return len(self.examples)

    def measure(self, engine: Engine, report: Report) -> Marked:
        task = Translate(self.target, self.source, self.params)
        runs = task.run_many(engine, (example.text for example in self.examples))
        found = answers(self.examples, runs, report)
        texts = [answer.result.text for answer in found]
        scores = TranslationScores(texts, [example.references for example in self.examples], self.target)
        marks = [
            Mark(example.text, example.references, text, own, None, own, example.place, answer.reason)
            for example, text, own, answer in zip(self.examples, texts, scores.each(), found, strict=True)
        ]
        measured = scores.measured
        details = asdict(measured) | {"from": self.source, "to": self.target}
        told = ("length_ratio", "bleu_signature", "chrf_signature", "from", "to")
        signature = f"BLEU|{measured.bleu_signature} chrF2|{measured.chrf_signature}"
        return Marked(marks, scores, signature, {name: details[name] for name in told})
