"""Language models: how well a text is foreseen, as perplexity and as bits for each byte and character."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from lmcli import tasks
from lmcli.data.examples import Example
from lmcli.errors import InputError, UsageError
from lmcli.evaluation.marks import Mark, Marked
from lmcli.evaluation.perplexity import PerplexityScores, TextLikelihood, likelihood_of
from lmcli.evaluation.running import Report
from lmcli.protocols import CausalEngine, Engine
from lmcli.types import Progress

_WINDOW = 2048  # tokens; of longer ones few texts make use, and each takes longer


@dataclass(frozen=True)
class GenerateEvaluator:
    """Whole texts, read in windows of `window` tokens that move on by `stride`; None are the context, at most 2,048
    tokens, and half a window."""

    task: ClassVar[str] = "generate"
    opens: ClassVar[str] = "generate"

    examples: Sequence[Example]
    window: int | None = None
    stride: int | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def measure(self, engine: Engine, report: Report) -> Marked:
        if not tasks.is_causal(engine):
            raise tasks.refusal(engine, "generate")
        window, stride = self._windows(engine)
        texts = [*self._texts(engine, window, stride, report)]
        if not any(text.tokens for text in texts):
            raise InputError("no text has two tokens: there is nothing to foresee", "give longer texts")
        scores = PerplexityScores(texts)
        marks = []
        for example, text in zip(self.examples, texts, strict=True):
            own = PerplexityScores([text]).measured if text.tokens else None
            score = own.perplexity if own else None
            marks.append(Mark(example.text, (), "", score, None, -(score or 0.0), example.place))
        measured = scores.measured
        details = {"tokens": measured.tokens, "bytes": measured.bytes, "characters": measured.characters}
        return Marked(marks, scores, f"window:{window}|stride:{stride}|first:unscored", details)

    def _windows(self, engine: CausalEngine) -> tuple[int, int]:
        window = self.window or min(engine.context_length, _WINDOW)
        stride = self.stride or max(window // 2, 1)
        if not 2 <= window <= engine.context_length:
            raise UsageError(f"--window {window} is not between 2 and the context's {engine.context_length} tokens",
                             "choose one that fits")  # fmt: skip
        if stride > window:
            raise UsageError(f"--stride {stride} is longer than the window of {window} tokens", "choose a shorter one")
        return window, stride

    def _texts(self, engine: CausalEngine, window: int, stride: int, report: Report) -> Iterator[TextLikelihood]:
        """What came of each text; how far it is, is told by the characters that were read."""
        total, done = sum(len(example.text) for example in self.examples) or 1, 0
        report(Progress(0, 0, "tokens", 0.0))
        tokens = 0
        for example in self.examples:
            stretches = []
            read = done
            for stretch in engine.score_text(example.text, window, stride):
                stretches.append(stretch)
                tokens, read = tokens + stretch.tokens, read + len(stretch.text)
                report(Progress(tokens, 0, "tokens", min(read / total, 1.0)))
            done += len(example.text)
            yield likelihood_of(example.text, stretches)
