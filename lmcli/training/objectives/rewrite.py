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
from lmcli.engine.batches import part_quoted
from lmcli.engine.translation_codes import TranslationCodes
from lmcli.errors import UsageError
from lmcli.training.limits import longest
from lmcli.training.loss import IGNORED
from lmcli.training.models import load_model, load_tokenizer
from lmcli.training.objectives import Sample
from lmcli.training.padding import pad
from lmcli.training.plan import Plan

_TOLD_BY_NAME = ("t5", "mt5", "umt5")  # in words: translate English to German


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
        self._name = plan.checkpoint.name if plan.checkpoint else "this config"
        config = self.model.config.to_dict()
        self._codes = TranslationCodes(self._name, config, self.tokenizer)
        self._translates = plan.recipe.task == "translate"
        self._asks_for_source = self._codes.asks_for_target or config["model_type"] in _TOLD_BY_NAME
        self._longest = longest(plan.recipe, self.model.config, self.tokenizer)
        self._start = _start(self.model)

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
        # The first mBART writes a text's language first of all.
        before = torch.tensor([sample.more.get("start", [self._start]) for sample in samples])
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
        prefix, options = self._select(languages)
        part = part_quoted(self.tokenizer.all_special_tokens)  # as when the checkpoint is used
        texts, wanted = [prefix + part(each.text) for each in examples], [part(each.answer) for each in examples]
        limits = {"truncation": True, "return_attention_mask": False}
        inputs = self.tokenizer(texts, max_length=self._longest, **limits)
        first, start = options.get("forced_bos_token_id"), options.get("decoder_start_token_id")
        if first is None and start is None:
            answers = self.tokenizer(text_target=wanted, max_length=self._longest, **limits)["input_ids"]
        else:
            answers = self._told(wanted, first)
        more = {} if start is None else {"start": [start]}
        pairs = zip(inputs["input_ids"], answers, strict=True)
        return [Sample(array("i", text), array("i", answer), more) for text, answer in pairs]

    def _told(self, wanted: Sequence[str], first: int | None) -> list[list[int]]:
        """Answers as they are written where the language is told by a token: that one, the words, and the end.

        Tokenizers have the language elsewhere, or ask for it by other names. Such checkpoints have one vocabulary.
        """
        begin, end = [] if first is None else [first], [self.tokenizer.eos_token_id]
        words = self.tokenizer(
            list(wanted), add_special_tokens=False, truncation=True, max_length=self._longest - len(begin) - 1,
            return_attention_mask=False,
        )["input_ids"]  # fmt: skip
        return [[*begin, *answer, *end] for answer in words]

    def _select(self, languages: tuple[str, str] | None) -> tuple[str, dict[str, Any]]:
        """What a text begins with, and what says which language is written, both as when the checkpoint is used."""
        if languages is not None:
            return self._codes.select(*languages)
        if self._translates and self._asks_for_source:
            raise UsageError(f"{self._name} has to be told the languages", "name them: --from en --to zh")
        if self._codes.asks_for_target:
            raise UsageError(f"{self._name} is for translation", "--task translate, or another checkpoint: -m NAME")
        return self._codes.select(None, None)


def _start(model: Any) -> int:
    """The token that an answer is begun after. T5 begins with padding where its config does not say."""
    for config in (model.config, model.generation_config):
        start = getattr(config, "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    return int(model.config.pad_token_id)
