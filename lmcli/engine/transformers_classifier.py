"""Sequence classifiers through transformers: probabilities of the checkpoint's own labels, in batches by length."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lmcli.engine.batches import Spelled, by_length, check_fits, encode, part_quoted, spans_of, usable_context
from lmcli.engine.gradients import attribute, chance_of, embed
from lmcli.engine.memory import memory_errors
from lmcli.errors import UsageError
from lmcli.explanations import Weight
from lmcli.protocols import Target
from lmcli.types import Checkpoint, Prompt

_BATCH_TOKENS = 4096  # of padded input


class TransformersClassifier:
    """protocols.ClassifierEngine over a model with a classification head."""

    def __init__(self, checkpoint: Checkpoint, model: Any, tokenizer: Any) -> None:
        self.checkpoint = checkpoint
        self.context_length = usable_context(model, tokenizer)
        self._model, self._tokenizer = model, tokenizer
        self.labels = tuple(str(model.config.id2label[i]) for i in range(model.config.num_labels))
        self._accepted = set(inspect.signature(model.forward).parameters)
        # A decoder with a classification head may have no token to pad with: then each text is a batch.
        pads = tokenizer.pad_token_id is not None and model.config.get_text_config().pad_token_id is not None
        self._batch_tokens = _BATCH_TOKENS if pads else 1

    def count(self, prompt: Prompt) -> int:
        return len(encode(self._tokenizer, str(prompt))["input_ids"])

    def classify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        return self._compute([encode(self._tokenizer, text) for text in texts], self._probabilities)

    def logits(self, texts: Sequence[str], seconds: Sequence[str] | None = None) -> list[dict[str, float]]:
        others = [None] * len(texts) if seconds is None else seconds
        pairs = zip(texts, others, strict=True)
        return self._compute([encode(self._tokenizer, text, second=second) for text, second in pairs], Tensor.tolist)

    def attribute(self, text: str, target: Target) -> list[Weight]:
        encoding = encode(self._tokenizer, text)
        if not encoding.is_fast or "inputs_embeds" not in self._accepted:
            raise UsageError(
                f"{self.checkpoint.name} does not tell which word a gradient belongs to", "--method occlusion"
            )
        check_fits(len(encoding["input_ids"]), self.context_length, self.checkpoint.name)
        parted = part_quoted(self._tokenizer.all_special_tokens)(text)
        spelled = Spelled(encoding["input_ids"], spans_of(encoding.encodings[0], text, parted), self._blank)

        def probabilities(words: Tensor) -> Tensor:
            return self._chances(self._model(inputs_embeds=words.to(self._model.dtype)).logits.float())

        with memory_errors(self.checkpoint):
            embedded = embed(self._model.get_input_embeddings(), text, spelled, self._model.device)
            return attribute(embedded, probabilities, chance_of(target, self.labels))

    @property
    def _blank(self) -> int:
        """The token that stands for nothing."""
        ids = (getattr(self._tokenizer, f"{name}_token_id", None) for name in ("mask", "pad", "unk", "eos"))
        return next((token for token in ids if token is not None), 0)

    def _compute(self, inputs: list[Any], read: Callable[[Tensor], list[list[float]]]) -> list[dict[str, float]]:
        """What `read` makes of the logits (B, labels) of a batch, for each input."""
        lengths = [len(encoding["input_ids"]) for encoding in inputs]
        check_fits(max(lengths, default=0), self.context_length, self.checkpoint.name)
        found: dict[int, dict[str, float]] = {}
        for batch in by_length(lengths, self._batch_tokens):
            rows = read(self._pass([inputs[i] for i in batch]))
            found |= {i: dict(zip(self.labels, row, strict=True)) for i, row in zip(batch, rows, strict=True)}
        return [found[i] for i in range(len(inputs))]

    @torch.inference_mode()
    def _pass(self, batch: list[Any]) -> Tensor:
        """Logits (B, labels) in fp32."""
        padded = self._tokenizer.pad(batch, padding=len(batch) > 1, return_tensors="pt").to(self._model.device)
        inputs = {name: tensor for name, tensor in padded.items() if name in self._accepted}
        with memory_errors(self.checkpoint):
            logits: Tensor = self._model(**inputs).logits.float()
        return logits

    def _probabilities(self, logits: Tensor) -> list[list[float]]:
        rows: list[list[float]] = self._chances(logits).tolist()
        return rows

    def _chances(self, logits: Tensor) -> Tensor:
        several = self._model.config.problem_type == "multi_label_classification" or len(self.labels) == 1
        return logits.sigmoid() if several else logits.softmax(-1)
