"""Sentiment: is a text positive, negative or neutral, by a classifier or by the likelihoods of a language model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from lmcli import tasks
from lmcli.protocols import ClassifierEngine, Engine, Target
from lmcli.tasks import prompts
from lmcli.tasks.entailment import EntailmentJudge, infers
from lmcli.tasks.judging import ClassifierJudge, Judge, judge_many
from lmcli.tasks.likelihoods import LikelihoodJudge
from lmcli.tasks.occlusion import Occlusion
from lmcli.types import Event

_NAMES = {
    "positive": {"positive", "pos", "very positive", "正面", "积极", "正向", "好评", "positif", "positiv", "positivo"},
    "negative": {"negative", "neg", "very negative", "负面", "消极", "负向", "差评", "négatif", "negativ", "negativo"},
    "neutral": {"neutral", "neu", "中性", "中立", "neutre"},
}
SENTIMENTS = tuple(_NAMES)
_STARS = {1: "negative", 2: "negative", 3: "neutral", 4: "positive", 5: "positive"}
_NUMBERED = {2: ("negative", "positive"), 3: ("negative", "neutral", "positive")}


@dataclass(frozen=True)
class Sentiment:
    """One Label for each text; a text longer than the context is judged in parts, averaged by their tokens.

    With `explain` the words that carry the label are found.
    """

    name: ClassVar[str] = "sentiment"
    answer: ClassVar[str] = "label"

    explain: bool = False

    def run(self, engine: Engine, text: str) -> Iterator[Event]:
        return next(self.run_many(engine, [text]))

    def run_many(self, engine: Engine, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The events of each text, in order, worked in batches."""
        judge = self.judge(engine)
        return judge_many(judge, texts, Occlusion(judge) if self.explain else None)

    def known(self, engine: Engine) -> tuple[str, ...]:
        """The labels that texts may be given."""
        if tasks.is_classifier(engine) and not infers(engine):
            return tuple(known_labels(dict.fromkeys(engine.labels, 0.0)))
        return tuple(prompts.SENTIMENT_LABELS)

    def judge(self, engine: Engine) -> Judge:
        """What gives a text its probabilities. Raises CheckpointError for an engine that cannot."""
        if tasks.is_classifier(engine):
            if infers(engine):
                return EntailmentJudge(engine, prompts.SENTIMENT_HYPOTHESES)
            return ClassifierJudge(engine, known_labels)
        if tasks.is_causal(engine):
            return LikelihoodJudge(engine, prompts.sentiment, prompts.SENTIMENT_LABELS, prompts.SENTIMENT_REFERENCES)
        raise tasks.refusal(engine, self.name)

    def target(self, engine: ClassifierEngine, label: str) -> Target:
        """The labels of a classifier that stand for `label`."""
        return Target(tuple(own for own in engine.labels if known_name(own, len(engine.labels)) == label))


def known_labels(scores: Mapping[str, float]) -> dict[str, float]:
    """A checkpoint's probabilities under the names positive, negative and neutral; unknown labels keep their own."""
    known: dict[str, float] = {}
    for label, probability in scores.items():
        name = known_name(label, len(scores))
        known[name] = known.get(name, 0.0) + probability
    return known


def known_name(label: str, labels: int) -> str:
    """What one of so many labels is called: positive, negative or neutral where it is one of them."""
    plain = " ".join(re.split(r"[\s_-]+", label.strip().casefold()))
    for name, spellings in _NAMES.items():
        if plain in spellings:
            return name
    stars = re.fullmatch(r"([1-5]) ?stars?", plain)
    if stars and labels == 5:
        return _STARS[int(stars[1])]
    numbered = re.fullmatch(r"label (\d)", plain)
    if numbered and labels in _NUMBERED and int(numbered[1]) < labels:
        return _NUMBERED[labels][int(numbered[1])]
    return label
