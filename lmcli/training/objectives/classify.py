"""Classification: one label for a text or a pair of texts, through a head on an encoder or a decoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from lmcli.data.examples import Example
from lmcli.engine.batches import part_quoted
from lmcli.evaluation import classification
from lmcli.training.limits import longest
from lmcli.training.models import load_config, load_model, load_tokenizer
from lmcli.training.objectives import Sample
from lmcli.training.padding import pad
from lmcli.training.plan import Plan


def build(plan: Plan) -> Classify:
    return Classify(plan)


class Classify:
    """The best checkpoint is that of the highest macro F1, which no frequent label outweighs."""

    metric, higher, lora_task = "macro_f1", True, "SEQ_CLS"

    def __init__(self, plan: Plan) -> None:
        self.tokenizer = load_tokenizer(plan)
        self.labels = _labels(plan)
        names = dict(enumerate(self.labels))
        self.model = load_model(
            plan, AutoModelForSequenceClassification, self.tokenizer,
            {"id2label": names, "label2id": {label: i for i, label in names.items()}, "num_labels": len(names)},
        )  # fmt: skip
        self.model.config.problem_type = "single_label_classification"
        if self.model.config.pad_token_id is None:  # A decoder's head reads the last token that is no padding.
            self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.weights = _class_weights(plan.train, self.labels) if plan.recipe.class_weights else None
        self._longest = longest(plan.recipe, self.model.config, self.tokenizer)

    def samples(self, examples: Sequence[Example]) -> list[Sample]:
        """A text is cut at its longest; the checks have counted how many are."""
        part = part_quoted(self.tokenizer.all_special_tokens)  # as when the checkpoint is used
        texts = [part(example.text) for example in examples]
        seconds = [part(example.second or "") for example in examples]
        encoded = self.tokenizer(
            texts, seconds if any(seconds) else None, truncation=True, max_length=self._longest
        )  # fmt: skip
        ids = {label: i for i, label in enumerate(self.labels)}
        others = [name for name in encoded if name not in ("input_ids", "attention_mask")]
        return [
            Sample(tokens, [ids[example.answer]], {name: encoded[name][i] for name in others})
            for i, (tokens, example) in enumerate(zip(encoded["input_ids"], examples, strict=True))
        ]

    def collate(self, samples: Sequence[Sample], step: int) -> dict[str, Tensor]:
        batch = {
            "input_ids": pad([sample.inputs for sample in samples], self.tokenizer.pad_token_id),
            "attention_mask": pad([[1] * len(sample.inputs) for sample in samples], 0),
            "labels": torch.tensor([sample.labels[0] for sample in samples]),
        }
        return batch | {name: pad([sample.more[name] for sample in samples], 0) for name in samples[0].more}

    def predict(self, logits: Tensor) -> Tensor:
        return logits.argmax(-1)

    def measure(self, examples: Sequence[Example], predictions: Sequence[Any], loss: float) -> dict[str, float]:
        figures = classification.measure(
            [example.answer for example in examples], [self.labels[i] for i in predictions]
        )
        return {"accuracy": figures.accuracy, "macro_f1": figures.macro_f1}


def _labels(plan: Plan) -> list[str]:
    """The checkpoint's own labels in their order where they are those of the examples, else these sorted."""
    found = {example.answer for example in (*plan.train, *plan.validation)}
    if plan.checkpoint:
        own = load_config(plan).id2label or {}
        if found <= set(own.values()):
            return [own[i] for i in sorted(own)]
    if all(label.isdecimal() for label in found):
        return sorted(found, key=lambda label: (int(label), label))  # 2 stands before 10.
    return sorted(found)


def _class_weights(examples: Sequence[Example], labels: Sequence[str]) -> Tensor:
    """For each label how rare it is, such that the mean over all examples is 1; 0 for what no example has."""
    counts = Counter(example.answer for example in examples)
    shares = [len(counts) * counts[label] / len(examples) for label in labels]
    return torch.tensor([1 / share if share else 0.0 for share in shares])
