"""An evaluation: a checkpoint measured by a set, and two of them compared on the same examples."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lmcli.evaluation import mcnemar
from lmcli.evaluation.bootstrap import Difference, Interval, Scores, differences, intervals, whole
from lmcli.evaluation.evaluators import Evaluator
from lmcli.evaluation.marks import Marked
from lmcli.evaluation.mcnemar import McNemar
from lmcli.evaluation.perplexity import PerplexityScores, paired
from lmcli.protocols import Engine
from lmcli.types import Event


@dataclass(frozen=True)
class Resampling:
    """How intervals and differences are found: so many sets drawn anew, from a seed."""

    resamples: int
    seed: int


@dataclass(frozen=True)
class Evaluation:
    """What a checkpoint came to: each figure, with its interval where there is one; `seconds` are those of the answers,
    without loading."""

    task: str
    checkpoint: str
    n: int
    seconds: float
    figures: dict[str, float]
    intervals: dict[str, Interval]
    marked: Marked

    @property
    def per_second(self) -> float:
        return self.n / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Comparison:
    """How the second checkpoint's figures differ from the first's; `mcnemar` where answers are right or wrong."""

    first: Evaluation
    second: Evaluation
    differences: dict[str, Difference]
    mcnemar: McNemar | None


def evaluate(
    evaluator: Evaluator, engine: Engine, resampling: Resampling, report: Callable[[Event], None]
) -> Evaluation:  # fmt: skip
    """Measure the checkpoint of `engine`. Raises what Evaluator.measure raises."""
    since = time.perf_counter()
    marked = evaluator.measure(engine, report)
    seconds = time.perf_counter() - since
    found = intervals(marked.scores, resampling.resamples, resampling.seed)
    return Evaluation(
        evaluator.task, engine.checkpoint.name, len(evaluator), seconds, whole(marked.scores), found, marked
    )  # fmt: skip


def compare(first: Evaluation, second: Evaluation, resampling: Resampling) -> Comparison | None:
    """Both measured by the same set; None where they share nothing to be drawn: one text, cut into other tokens."""
    pair = _paired(first.marked.scores, second.marked.scores)
    if pair is None:
        return None
    found = differences(*pair, resampling.resamples, resampling.seed)
    mine, others = first.marked.right, second.marked.right
    return Comparison(first, second, found, mcnemar.compare(mine, others) if mine and others else None)


def _paired(first: Scores, second: Scores) -> tuple[Scores, Scores] | None:
    if isinstance(first, PerplexityScores) and isinstance(second, PerplexityScores):
        return paired(first, second)
    return first, second
