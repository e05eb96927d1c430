"""Sequence classifiers through transformers: probabilities of the checkpoint's own labels, in batches by length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lmcli.engine.batches import by_length, usable_context
from lmcli.errors import InputTooLong
from lmcli.types import Checkpoint, Prompt

_BATCH_TOKENS = 4096  # of padded input


class TransformersClassifier:
    """types.ClassifierEngine over a model with a classification head."""

    def __init__(self, checkpoint: Checkpoint, model: Any, tokenizer: Any) -> None:
        self.checkpoint = checkpoint
        self.context_length = usable_context(model.config, tokenizer)
        self._model, self._tokenizer = model, tokenizer
        self._labels = [model.config.id2label[i] for i in range(model.config.num_labels)]

    def count(self, prompt: Prompt) -> int:
        return len(self._tokenizer(str(prompt))["input_ids"])

    def classify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        inputs = [self._tokenizer(text)["input_ids"] for text in texts]
        longest = max(map(len, inputs), default=0)
        if longest > self.context_length:
            raise InputTooLong(
                f"a text has {longest} tokens, more than the {self.context_length} of {self.checkpoint.name}",
                "split it, or use a checkpoint with a longer context",
            )
        scores: dict[int, dict[str, float]] = {}
        for batch in by_length(inputs, _BATCH_TOKENS):
            rows = self._probabilities([inputs[i] for i in batch])
            scores |= {i: dict(zip(self._labels, row, strict=True)) for i, row in zip(batch, rows, strict=True)}
        return [scores[i] for i in range(len(texts))]

    @torch.inference_mode()
    def _probabilities(self, batch: list[list[int]]) -> list[list[float]]:
        padded = self._tokenizer.pad({"input_ids": batch}, return_tensors="pt").to(self._model.device)
        logits = self._model(**padded).logits.float()  # (B, labels)
        several = self._model.config.problem_type == "multi_label_classification"
        probabilities = logits.sigmoid() if several else logits.softmax(-1)
        rows: list[list[float]] = probabilities.tolist()
        return rows
