"""Encoder-decoders through transformers' `generate`: those whose config or settings are not ours to compute."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import transformers
from torch import Tensor

from lmcli.engine.batches import usable_context
from lmcli.engine.rewriting import Clock, RewritingEngine
from lmcli.engine.translation_codes import TranslationCodes
from lmcli.types import Checkpoint, SamplingParams


def open_seq2seq(checkpoint: Checkpoint, model: Any, tokenizer: Any) -> RewritingEngine:
    """The engine over a model with `generate`."""
    codes = TranslationCodes(checkpoint.name, model.config.to_dict(), tokenizer)
    return RewritingEngine(checkpoint, TransformersRewriter(model, tokenizer), tokenizer, codes)


class TransformersRewriter:
    """rewriting.Rewriter over a model with `generate`."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.options: dict[str, Any] = model.generation_config.to_dict()
        self.longest_input = usable_context(model, tokenizer)
        self._model, self._tokenizer = model, tokenizer
        eos = self.options["eos_token_id"]
        self._eos = set(eos) if isinstance(eos, list) else {eos}

    @torch.inference_mode()
    def write(
        self, batch: list[list[int]], options: dict[str, Any], params: SamplingParams, clock: Clock
    ) -> list[list[int]]:
        if params.temperature > 0:
            torch.seed() if params.seed is None else torch.manual_seed(params.seed)
        padded = self._tokenizer.pad({"input_ids": batch}, return_tensors="pt").to(self._model.device)
        # At its limit many a config forces an end token, and what is cut would look whole.
        options = options | _sampling(params) | {"forced_eos_token_id": None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Advice on generation_config.json, the checkpoint's author's matter.
            output = self._model.generate(**padded, **options, stopping_criteria=[_Watch(clock)])
        return [self._trimmed(row) for row in output]

    def _trimmed(self, row: Tensor) -> list[int]:
        """A row (T,) without the decoder's start token and the padding behind its end."""
        tokens: list[int] = row.tolist()[1:]
        end = next((i for i, token in enumerate(tokens) if token in self._eos), len(tokens) - 1)
        return tokens[: end + 1]


class _Watch(transformers.StoppingCriteria):
    """Tells the clock of tokens; stops nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        self._clock.token()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def _sampling(params: SamplingParams) -> dict[str, Any]:
    """The options of `generate`; greedy where nothing is asked, whatever generation_config.json says."""
    options: dict[str, Any] = {"do_sample": params.temperature > 0}
    if params.repetition_penalty != 1:
        options["repetition_penalty"] = params.repetition_penalty
    if params.temperature > 0:
        options |= {"num_beams": 1, "temperature": params.temperature, "top_p": params.top_p, "top_k": params.top_k}
        options |= {"min_p": params.min_p} if params.min_p else {}
    return options
