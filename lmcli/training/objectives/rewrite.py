"""Rewriting: a translation or a summary, by an encoder-decoder that is told the right tokens before each."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM

from lmcli.data.examples import Example
from lmcli.engine.translation_codes import TranslationCodes
from lmcli.training.limits import longest
from lmcli.training.loss import IGNORED
from lmcli.training.models import load_model, load_tokenizer
from lmcli.training.objectives import Sample
from lmcli.training.padding import pad
from lmcli.training.plan import Plan


def build(plan: Plan) -> Rewrite:
    return Rewrite(plan)


class Rewrite:
    """The best checkpoint is that of the lowest loss: the log-likelihood (nats a token) of the right answers."""

    metric, higher, lora_task = "loss", False, "SEQ_2_SEQ_LM"
    weights = None

    def __init__(self, plan: Plan) -> None:
        self.tokenizer = load_tokenizer(plan)
        self.model = load_model(plan, AutoModelForSeq2SeqLM, self.tokenizer)
        bias = getattr(self.model, "final_logits_bias", None)
        if bias is not None and not bias.any():
            # Marian's and BART's is almost always 0; added to logits in bf16, a float32 one would copy them.
            self.model.final_logits_bias = bias.to(torch.bfloat16)
        name = plan.checkpoint.name if plan.checkpoint else "this config"
        self._codes = TranslationCodes(name, self.model.config.to_dict(), self.tokenizer)
        self._longest = longest(plan.recipe, self.model.config, self.tokenizer)
        self._start = self.model.config.decoder_start_token_id

    def samples(self, examples: Sequence[Example]) -> list[Sample]:
        """Texts and answers are cut at their longest; the checks have counted how many are."""
        # What is gone through several times an epoch becomes tokens once.
        groups: dict[tuple[str, str] | None, dict[int, Example]] = defaultdict(dict)
        for example in examples:
            groups[example.languages][id(example)] = example
        samples: dict[int, Sample] = {}
        for languages, group in groups.items():
            samples |= dict(zip(group, self._encode(list(group.values()), languages), strict=True))
        return [samples[id(example)] for example in examples]

    def collate(self, samples: Sequence[Sample], step: int) -> dict[str, Tensor]:
        labels = pad([sample.labels for sample in samples], IGNORED)
        padding = self.tokenizer.pad_token_id
        before = torch.full((len(samples), 1), self._start)
        return {
            "input_ids": pad([sample.inputs for sample in samples], padding),
            "attention_mask": pad([[1] * len(sample.inputs) for sample in samples], 0),
            "decoder_input_ids": torch.cat([before, labels[:, :-1].where(labels[:, :-1] != IGNORED, padding)], 1),
            "labels": labels,
        }

    def predict(self, logits: Tensor) -> None:
        return None

    def measure(self, examples: Sequence[Example], predictions: Sequence[Any], loss: float) -> dict[str, float]:
        return {}

    def _encode(self, examples: Sequence[Example], languages: tuple[str, str] | None) -> list[Sample]:
        prefix = self._prefix(languages)
        limits = {"truncation": True, "max_length": self._longest, "return_attention_mask": False}
        inputs = self.tokenizer([prefix + example.text for example in examples], **limits)["input_ids"]
        answers = self.tokenizer(text_target=[example.answer for example in examples], **limits)["input_ids"]
        return [Sample(array("i", text), array("i", answer)) for text, answer in zip(inputs, answers, strict=True)]

    def _prefix(self, languages: tuple[str, str] | None) -> str:
        """What the checkpoint is told before a text; its tokenizer is told the answer's language too."""
        if languages is None:
            return self._codes.select(None, None)[0]
        prefix, options = self._codes.select(*languages)
        if "forced_bos_token_id" in options and hasattr(self.tokenizer, "tgt_lang"):
            self.tokenizer.tgt_lang = self.tokenizer.convert_ids_to_tokens(options["forced_bos_token_id"])
        return prefix
