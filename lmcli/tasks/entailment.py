"""Entailment: a checkpoint trained on natural language inference judges labels it has never seen, by whether a text
entails a sentence that names the label (Yin et al. 2019, arXiv:1909.00161)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lmcli.errors import InputTooLong
from lmcli.protocols import ClassifierEngine
from lmcli.tasks.judging import Judged
from lmcli.tasks.likelihoods import sigmoid, softmax

_TEXTS = 32  # at once, each with every hypothesis


def infers(engine: ClassifierEngine) -> bool:
    """Whether a classifier was trained on natural language inference, as its labels say."""
    return len(engine.labels) in (2, 3) and any(_entails(label) for label in engine.labels)


class EntailmentJudge:
    """Probabilities of labels by their `hypotheses`: of labels that exclude each other the entailment logits compete,
    with `multi` each label's entailment competes with its contradiction."""

    def __init__(self, engine: ClassifierEngine, hypotheses: Mapping[str, str], multi: bool = False) -> None:
        """Raises InputTooLong where the longest hypothesis leaves no room for a text."""
        self._engine, self._hypotheses, self._multi = engine, hypotheses, multi
        self._yes = next(label for label in engine.labels if _entails(label))
        others = [label for label in engine.labels if label != self._yes]
        self._no = next((label for label in others if label.casefold().startswith(("contra", "not"))), others[-1])
        self._longest = max(map(engine.count, hypotheses.values()))
        self.room, self.size = engine.context_length - self._longest, engine.count
        if self.room < 8:
            raise InputTooLong(
                f"the hypothesis leaves no room for a text in the {engine.context_length} tokens of "
                f"{engine.checkpoint.name}",
                "choose shorter labels or a shorter --hypothesis",
            )

    def judge(self, texts: Sequence[str]) -> Iterator[Judged]:
        for first in range(0, len(texts), _TEXTS):
            yield from self._judge(texts[first : first + _TEXTS])

    def _judge(self, texts: Sequence[str]) -> Iterator[Judged]:
        count = len(self._hypotheses)
        pairs = [(text, hypothesis) for text in texts for hypothesis in self._hypotheses.values()]
        logits = self._engine.logits([text for text, _ in pairs], [hypothesis for _, hypothesis in pairs])
        for i, text in enumerate(texts):
            chances = self._chances(logits[i * count : (i + 1) * count])
            size = self.size(text)
            scores = dict(zip(self._hypotheses, chances, strict=True))
            yield Judged(scores, max(size, 1), count * (size + self._longest))

    def _chances(self, logits: Sequence[Mapping[str, float]]) -> list[float]:
        if self._multi or len(logits) == 1:
            return [sigmoid(each[self._yes] - each[self._no]) for each in logits]
        return softmax([each[self._yes] for each in logits])


def _entails(label: str) -> bool:
    return label.casefold().startswith("entail")
