"""Labels: sentiment with any checkpoint, and classification with a checkpoint's own labels or those of the set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from lmcli import tasks
from lmcli.data.examples import Example
from lmcli.errors import UsageError
from lmcli.evaluation.classification import ClassificationScores
from lmcli.evaluation.marks import Mark, Marked, asked
from lmcli.evaluation.running import Answer, Report, answers, outputs
from lmcli.protocols import ClassifierEngine, Engine
from lmcli.tasks.classify import Classify
from lmcli.tasks.entailment import infers
from lmcli.tasks.likelihoods import softmax
from lmcli.tasks.sentiment import SENTIMENTS, Sentiment, known_name
from lmcli.types import Done, Event, Label, Notice, TaskResult

NO_LABEL = "(none)"  # what a text that failed was told


@dataclass(frozen=True)
class SentimentEvaluator:
    """Texts with a sentiment, under whatever names the set has for it.

    In a set without neutral texts the likelier of positive and negative counts as told: a checkpoint that knows a third
    is compared with those that know two.
    """

    task: ClassVar[str] = "sentiment"
    opens: ClassVar[str] = "sentiment"

    examples: Sequence[Example]
    names: Mapping[str, str]  # of each label of the set

    def __len__(self) -> int:
        return len(self.examples)

    def measure(self, engine: Engine, report: Report) -> Marked:
        task = Sentiment()
        binary = "neutral" not in self.names.values()
        allowed = [name for name in SENTIMENTS if not (binary and name == "neutral")]
        known = task.known(engine)
        if len(set(allowed).intersection(known)) < 2:
            raise UsageError(f"{engine.checkpoint.name} tells no sentiments: it was trained on {', '.join(known)}",
                             "name another: lmcli evaluate -m REF, or rename the labels")  # fmt: skip
        if missing := [name for name in allowed if name not in known]:
            report(Notice(f"{engine.checkpoint.name} does not know {' and '.join(missing)}"))
        if binary and "neutral" in known:
            report(Notice("no text of the set is neutral: the likelier of positive and negative counts"))
        runs = task.run_many(engine, (example.text for example in self.examples))
        found = [_among(answer, allowed) for answer in answers(self.examples, runs, report)]
        marked = mark(self.examples, [self.names[example.answer] for example in self.examples], found)
        return Marked(marked.marks, marked.scores, f"labels:{'+'.join(allowed)}", marked.details)


@dataclass(frozen=True)
class ClassifyEvaluator:
    """Texts, or pairs of texts, with a label. A classifier is asked for its own labels, any other checkpoint for
    `labels`, each with what it stands for in words."""

    task: ClassVar[str] = "classify"
    opens: ClassVar[str] = "classify"

    examples: Sequence[Example]
    labels: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.examples)

    def measure(self, engine: Engine, report: Report) -> Marked:
        if any(example.second is not None for example in self.examples):
            return self._own(engine, report, pairs=True)
        if tasks.is_classifier(engine) and not infers(engine):
            return self._own(engine, report, pairs=False)
        if len(self.labels) < 2:
            raise UsageError(f"all examples have the label '{min(self.labels)}': there is nothing to choose from",
                             "name the others too: --labels LABEL,LABEL")  # fmt: skip
        runs = Classify(self.labels).run_many(engine, (example.text for example in self.examples))
        found = answers(self.examples, runs, report)
        marked = mark(self.examples, [example.answer for example in self.examples], found)
        return Marked(marked.marks, marked.scores, f"labels:{len(self.labels)}|of:set", marked.details)

    def _own(self, engine: Engine, report: Report, pairs: bool) -> Marked:
        """By the labels that a classifier was trained on."""
        if not tasks.is_classifier(engine):
            raise UsageError(
                "the set has pairs of texts, which only a classifier that was trained on such pairs judges",
                "name one: lmcli evaluate -m REF",
            )
        names = own_names(engine, list(dict.fromkeys(example.answer for example in self.examples)))
        if pairs:
            runs = _judged_pairs(engine, self.examples)
        else:
            runs = Classify().run_many(engine, (example.text for example in self.examples))
        found = answers(self.examples, runs, report)
        marked = mark(self.examples, [names[example.answer] for example in self.examples], found)
        return Marked(marked.marks, marked.scores, f"labels:{len(engine.labels)}|of:checkpoint", marked.details)


def sentiment_names(labels: Sequence[str]) -> dict[str, str] | None:
    """What the labels of a set are called among the sentiments; None where some are none.

    Numbers are understood as the public sets write them: 0 and 1, 0 to 2, -1 to 1, and stars from 1 to 5.
    """
    found = list(dict.fromkeys(labels))
    numbers = next((names for names in _NUMBERS if set(found) <= names.keys()), {})
    names = {label: numbers.get(label) or known_name(label, len(found)) for label in found}
    return names if found and set(names.values()) <= set(SENTIMENTS) else None


# How public sets number sentiments; of two that fit the first: 0 and 1 are two sentiments, not two of three.
_NUMBERS: tuple[dict[str, str], ...] = (
    {"0": "negative", "1": "positive"},
    {"1": "negative", "2": "positive"},
    {"-1": "negative", "0": "neutral", "1": "positive"},
    {"0": "negative", "1": "neutral", "2": "positive"},
    {"1": "negative", "2": "negative", "3": "neutral", "4": "positive", "5": "positive"},
)


def own_names(engine: ClassifierEngine, labels: Sequence[str]) -> dict[str, str]:
    """Which of a checkpoint's labels each label of a set is: by name, or by number where the set has only numbers.

    Raises UsageError where one is none of them.
    """
    known = {_plain(label): label for label in engine.labels}
    if all(_plain(label) in known for label in labels):
        return {label: known[_plain(label)] for label in labels}
    if all(label.isdecimal() and int(label) < len(engine.labels) for label in labels):
        return {label: engine.labels[int(label)] for label in labels}
    unknown = next(label for label in labels if _plain(label) not in known)
    raise UsageError(
        f"{engine.checkpoint.name} does not know the label '{unknown}'; it was trained on {', '.join(engine.labels)}",
        "name a checkpoint that was trained on the set's labels, or a language model, which takes any: -m smollm2",
    )


def mark(examples: Sequence[Example], wanted: Sequence[str], found: Sequence[Answer]) -> Marked:
    """The marks of labels, and their figures label by label."""
    told = [answer.result.label for answer in found]
    got = [label.name if label else NO_LABEL for label in told]
    scores = ClassificationScores(wanted, got)
    marks = []
    for example, right, answer, label, name in zip(examples, wanted, found, told, got, strict=True):
        sure = label.score if label else None
        # The surer it was of what is wrong, the more there is to learn from it.
        marks.append(Mark(asked(example), (right,), name, sure, name == right, -(sure or 0.0), example.place,
                          answer.reason))  # fmt: skip
    figures = scores.measured
    details = {
        "labels": [vars(label) for label in figures.labels],
        "confusion": {"labels": scores.labels, "rows": figures.confusion},
    }
    return Marked(marks, scores, "", details)


def _among(answer: Answer, allowed: Sequence[str]) -> Answer:
    """The answer with the likeliest of the allowed labels, which share all probability."""
    label = answer.result.label
    if label is None:
        return answer
    chosen = {name: label.scores.get(name, 0.0) for name in allowed}
    total = sum(chosen.values()) or 1.0
    scores = {name: score / total for name, score in chosen.items()}
    likeliest = max(scores, key=lambda name: scores[name])
    return Answer(TaskResult(label=Label(likeliest, scores)), answer.error)


def _judged_pairs(engine: ClassifierEngine, examples: Sequence[Example]) -> Iterator[Iterator[Event]]:
    for logits in outputs(engine, examples):
        scores = dict(zip(logits, softmax(list(logits.values())), strict=True))
        likeliest = max(scores, key=lambda name: scores[name])
        yield iter((Label(likeliest, scores), Done("stop")))


def _plain(label: str) -> str:
    return re.sub(r"[\s_-]+", " ", label.strip().casefold())
