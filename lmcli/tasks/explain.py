"""Explain: a text's label, every probability, and what each word adds to one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from lmcli import tasks
from lmcli.errors import UsageError
from lmcli.explanations import Explanation, Method, Weight
from lmcli.protocols import ClassifierEngine, Engine
from lmcli.tasks.classify import Classify
from lmcli.tasks.entailment import infers
from lmcli.tasks.faithfulness import checked
from lmcli.tasks.judging import Judge, judge_many
from lmcli.tasks.occlusion import METHOD, Occlusion, strongest, units
from lmcli.tasks.sentiment import Sentiment
from lmcli.types import Event, Label

_GRADIENTS: Method = "integrated-gradients"


@dataclass(frozen=True)
class Explain:
    """What `inner` says of each text, with the words that carry it.

    `label` is one to explain in the place of the likeliest: why a text does not have it. With `check` it is tried
    whether the words found are those that matter.
    """

    inner: Sentiment | Classify
    method: Method = METHOD
    label: str | None = None
    check: bool = False
    name: ClassVar[str] = "explain"
    answer: ClassVar[str] = "label"

    def run(self, engine: Engine, text: str) -> Iterator[Event]:
        return next(self.run_many(engine, [text]))

    def run_many(self, engine: Engine, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The events of each text, in order. Raises UsageError for a label or a method that does not fit the engine."""
        if self.label is not None and self.label not in (known := self.inner.known(engine)):
            raise UsageError(f"no text is given the label '{self.label}'", f"the labels are {', '.join(known)}")
        judge = self.inner.judge(engine)
        explained = self._explainer(engine, judge)

        def finish(text: str, label: Label) -> Label:
            found = explained(text, replace(label, name=self.label or label.name)).explanation
            if self.check and found:
                found = checked(judge, found, label.scores.get(found.label, 0.0))
            return replace(label, explanation=found)

        return judge_many(judge, texts, finish)

    def known(self, engine: Engine) -> tuple[str, ...]:
        """The labels that texts may be given."""
        return self.inner.known(engine)

    def _explainer(self, engine: Engine, judge: Judge) -> Callable[[str, Label], Label]:
        if self.method == METHOD:
            return Occlusion(judge)
        if not tasks.is_classifier(engine) or infers(engine):
            raise UsageError(
                f"{engine.checkpoint.name} has no labels of its own, whose gradients would tell", f"--method {METHOD}"
            )
        return IntegratedGradients(self.inner, engine, judge)


class IntegratedGradients:
    """Adds to a text's label what its words weigh by the gradients of a classifier."""

    def __init__(self, inner: Sentiment | Classify, engine: ClassifierEngine, judge: Judge) -> None:
        self._inner, self._engine, self._judge = inner, engine, judge

    def __call__(self, text: str, label: Label) -> Label:
        """`label` with its explanation; of a text in several parts the one that carries the label the most is looked
        at."""
        start, part, _ = strongest(self._judge, text, label)
        tokens = self._engine.attribute(part, self._inner.target(self._engine, label.name))
        words = [
            Weight(word.text, start + word.start, start + word.end, word.weight) for word in gathered(part, tokens)
        ]
        return replace(label, explanation=Explanation(_GRADIENTS, label.name, text, tuple(words)))


def gathered(text: str, tokens: Iterable[Weight]) -> list[Weight]:
    """The weights of words, each that of its tokens together; a token of no word, such as a sign, keeps its own."""
    sums = dict.fromkeys(units(text), 0.0)
    for token in tokens:
        shared = {span: min(span[1], token.end) - max(span[0], token.start) for span in sums}
        span = max(shared, key=lambda each: shared[each], default=None)
        if span is None or shared[span] <= 0:
            span = token.start, token.end
        sums[span] = sums.get(span, 0.0) + token.weight
    return [Weight(text[a:b], a, b, weight) for (a, b), weight in sorted(sums.items())]
