"""Continuing text: a language model that is to write like the texts it is given, from one end to the other."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import AutoModelForCausalLM

from lmcli.data.examples import Example
from lmcli.training.limits import longest
from lmcli.training.loss import IGNORED
from lmcli.training.models import load_model, load_tokenizer
from lmcli.training.objectives import Sample
from lmcli.training.padding import pad
from lmcli.training.plan import Plan

_LARGEST = 700  # nats, of which there is a power


def build(plan: Plan) -> ContinueText:
    return ContinueText(plan)


class ContinueText:
    """The texts behind one another, each as the tokenizer begins it and with the end token behind it, in blocks of one
    length: nothing is cut off."""

    metric, higher, lora_task = "loss", False, "CAUSAL_LM"
    weights = None

    def __init__(self, plan: Plan) -> None:
        self.tokenizer = load_tokenizer(plan)
        self.model = load_model(plan, AutoModelForCausalLM, self.tokenizer)
        self._longest = longest(plan.recipe, self.model.config, self.tokenizer)

    def samples(self, examples: Sequence[Example]) -> list[Sample]:
        texts = [example.text for example in examples]
        blocks = packed(self.tokenizer, texts, self._longest, _beginning(self.tokenizer))
        return [Sample(block, block) for block in blocks]

    def collate(self, samples: Sequence[Sample], step: int) -> dict[str, Tensor]:
        return {
            "input_ids": pad([sample.inputs for sample in samples], self.tokenizer.pad_token_id),
            "attention_mask": pad([[1] * len(sample.inputs) for sample in samples], 0),
            # A token's logits say which token comes next.
            "labels": pad([[*sample.labels[1:], IGNORED] for sample in samples], IGNORED),
        }

    def predict(self, logits: Tensor) -> None:
        return None

    def measure(self, examples: Sequence[Example], predictions: Sequence[Any], loss: float) -> dict[str, float]:
        return {"perplexity": math.exp(min(loss, _LARGEST))}


def packed(tokenizer: Any, texts: Sequence[str], block: int, beginning: Sequence[int] = ()) -> list[array[int]]:
    """The tokens of all texts, `beginning` before and the end token behind each, in blocks of `block` tokens; the last
    may be shorter."""
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    stream = array("i")
    for tokens in tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)["input_ids"]:
        stream.extend(beginning)
        stream.extend(tokens)
        if end is not None:
            stream.append(end)
    return [stream[start : start + block] for start in range(0, math.ceil(len(stream) / block) * block, block)]


def _beginning(tokenizer: Any) -> list[int]:
    """The token that a prompt begins with, where the tokenizer puts one: the model must have seen it."""
    begin, put = tokenizer.bos_token_id, tokenizer("")["input_ids"]
    return [begin] if begin is not None and put[:1] == [begin] else []
