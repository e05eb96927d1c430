"""Classify: which of the labels that the user names a text has, or several of them, or those a checkpoint knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from lmcli import tasks
from lmcli.errors import UsageError
from lmcli.protocols import CausalEngine, ClassifierEngine, Engine, Target
from lmcli.tasks import prompts
from lmcli.tasks.entailment import EntailmentJudge, infers
from lmcli.tasks.judging import ClassifierJudge, Judge, judge_many
from lmcli.tasks.likelihoods import LikelihoodJudge, YesOrNoJudge
from lmcli.tasks.occlusion import Occlusion
from lmcli.types import Event, Label


@dataclass(frozen=True)
class Classify:
    """One Label for each text, by a classifier, by inference or by the likelihoods of a language model.

    `labels` maps each label to what it stands for in words, often itself; none are those the checkpoint was trained on.
    With `multi` each label is judged on its own, and those hold whose probability is above `threshold`. `hypothesis` is
    a sentence with {label} in it, None the one for the labels' language. With `explain` the words that carry the label
    are found.
    """

    name: ClassVar[str] = "classify"
    answer: ClassVar[str] = "label"

    labels: Mapping[str, str] = field(default_factory=dict)
    multi: bool = False
    threshold: float = 0.5
    hypothesis: str | None = None
    explain: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for a hypothesis without a place for the label, and for one label to choose from."""
        if self.hypothesis is not None and "{label}" not in self.hypothesis:
            raise UsageError("--hypothesis has no {label} in it", 'write it so: "This text is about {label}."')
        if len(self.labels) == 1 and not self.multi:
            raise UsageError("one label leaves no choice", "name another, or ask with --multi whether it holds")

    def run(self, engine: Engine, text: str) -> Iterator[Event]:
        return next(self.run_many(engine, [text]))

    def run_many(self, engine: Engine, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The events of each text, in order, worked in batches."""
        judge = self.judge(engine)
        explained = Occlusion(judge) if self.explain else None

        def finish(text: str, label: Label) -> Label:
            if explained:
                label = explained(text, label)
            return _held(label, self.threshold) if self.multi else label

        return judge_many(judge, texts, finish)

    def known(self, engine: Engine) -> tuple[str, ...]:
        """The labels that texts may be given. Raises UsageError where none are named and the checkpoint has none."""
        if self.labels:
            return tuple(self.labels)
        if tasks.is_classifier(engine) and not infers(engine):
            return engine.labels
        raise UsageError(f"{engine.checkpoint.name} has no labels of its own for this", "name them: --labels spam,ham")

    def judge(self, engine: Engine) -> Judge:
        """What gives a text its probabilities. Raises CheckpointError for an engine that cannot."""
        names = self.known(engine)
        if tasks.is_causal(engine):
            return self._likelihoods(engine)
        if not tasks.is_classifier(engine):
            raise tasks.refusal(engine, self.name)
        if infers(engine):
            return EntailmentJudge(engine, self._hypotheses(), self.multi)
        return ClassifierJudge(engine, partial(_chosen, _own(engine, names), self.multi))

    def target(self, engine: ClassifierEngine, label: str) -> Target:
        """The label of a classifier that stands for `label`, and those it is chosen from."""
        names = _own(engine, self.known(engine))
        among = None if self.multi or len(names) == len(engine.labels) else tuple(names)
        return Target(tuple(own for own, name in names.items() if name == label), among)

    def _likelihoods(self, engine: CausalEngine) -> Judge:
        phrases = self.labels
        if self.multi:
            hypotheses = self._hypotheses()
            return YesOrNoJudge(
                engine, lambda text, label: prompts.statement(text, hypotheses[label]), list(hypotheses),
                prompts.TRUE_OR_FALSE, prompts.EMPTY,
            )  # fmt: skip
        before, endings = prompts.classification(list(phrases.values()), self.hypothesis)
        return LikelihoodJudge(
            engine, lambda text: prompts.labelled(text, before), dict(zip(phrases, endings, strict=True)),
            prompts.EMPTY,
        )  # fmt: skip

    def _hypotheses(self) -> dict[str, str]:
        form = self.hypothesis or prompts.hypothesis(list(self.labels.values()))
        return {label: form.replace("{label}", phrase) for label, phrase in self.labels.items()}


def _own(engine: ClassifierEngine, names: Sequence[str]) -> dict[str, str]:
    """A checkpoint's labels by the user's names for them, whatever their case."""
    known = {_plain(label): label for label in engine.labels}
    unknown = [name for name in names if _plain(name) not in known]
    if unknown:
        raise UsageError(
            f"{engine.checkpoint.name} does not know the label '{unknown[0]}'; it was trained on "
            f"{', '.join(engine.labels)}",
            "choose among those, or a language model, which takes any label: -m smollm2",
        )
    return {known[_plain(name)]: name for name in names}


def _chosen(names: Mapping[str, str], multi: bool, scores: Mapping[str, float]) -> dict[str, float]:
    """The probabilities of the labels that were asked for; where they exclude each other they share all of it."""
    chosen = {name: scores[own] for own, name in names.items()}
    total = sum(chosen.values())
    if multi or len(chosen) == len(scores) or not total:
        return chosen
    return {name: score / total for name, score in chosen.items()}


def _held(label: Label, threshold: float) -> Label:
    holding = tuple(name for name, score in label.scores.items() if score > threshold)
    return Label(label.name, label.scores, holding, label.explanation)


def _plain(label: str) -> str:
    return re.sub(r"[\s_-]+", " ", label.strip().casefold())
