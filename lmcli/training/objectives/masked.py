"""Masked words: an encoder that learns a language by guessing the tokens that were taken from a text.

Devlin et al. 2019 (BERT, arXiv:1810.04805): of 15 % of the tokens 80 % become the mask, 10 % any token, 10 % stay.
The tokens are drawn anew each time a text is seen, as in Liu et al. 2019 (RoBERTa, arXiv:1907.11692).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM

from lmcli.data.examples import Example
from lmcli.errors import CheckpointError
from lmcli.training.limits import longest
from lmcli.training.loss import IGNORED
from lmcli.training.models import load_model, load_tokenizer
from lmcli.training.objectives import Sample
from lmcli.training.objectives.continue_text import packed
from lmcli.training.padding import pad
from lmcli.training.plan import Plan

_SHARE, _MASKED, _CHANGED = 0.15, 0.8, 0.5  # _CHANGED of those that are not masked


def build(plan: Plan) -> Masked:
    return Masked(plan)


class Masked:
    metric, higher, lora_task = "loss", False, "FEATURE_EXTRACTION"
    weights = None

    def __init__(self, plan: Plan) -> None:
        self.tokenizer = load_tokenizer(plan)
        if self.tokenizer.mask_token_id is None:
            raise CheckpointError("the tokenizer has no mask token", "train one: lmcli tokenizer train --for masked")
        self.model = load_model(plan, AutoModelForMaskedLM, self.tokenizer)
        self._longest = longest(plan.recipe, self.model.config, self.tokenizer)
        self._seed = plan.recipe.seed

    def samples(self, examples: Sequence[Example]) -> list[Sample]:
        first, last = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        ends = [token for token in (first, last) if token is not None]
        blocks = packed(self.tokenizer, [example.text for example in examples], self._longest - len(ends))
        whole = [array("i", [*ends[:-1], *block, *ends[-1:]]) for block in blocks]
        return [Sample(block, block) for block in whole]

    def collate(self, samples: Sequence[Sample], step: int) -> dict[str, Tensor]:
        draw = torch.Generator().manual_seed((self._seed << 32) + step)
        tokens = pad([sample.inputs for sample in samples], self.tokenizer.pad_token_id)
        kept = torch.isin(tokens, torch.tensor(self.tokenizer.all_special_ids))
        chosen = (torch.rand(tokens.shape, generator=draw) < _SHARE) & ~kept
        masked = chosen & (torch.rand(tokens.shape, generator=draw) < _MASKED)
        changed = chosen & ~masked & (torch.rand(tokens.shape, generator=draw) < _CHANGED)
        others = torch.randint(len(self.tokenizer), tokens.shape, generator=draw)
        return {
            "input_ids": tokens.masked_fill(masked, self.tokenizer.mask_token_id).where(~changed, others),
            "attention_mask": pad([[1] * len(sample.inputs) for sample in samples], 0),
            "labels": tokens.masked_fill(~chosen, IGNORED),
        }

    def predict(self, logits: Tensor) -> None:
        return None

    def measure(self, examples: Sequence[Example], predictions: Sequence[Any], loss: float) -> dict[str, float]:
        return {}
