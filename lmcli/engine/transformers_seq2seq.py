"""Encoder-decoders through transformers: Marian, NLLB, M2M100, mBART, T5 and BART rewrite texts in batches."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor

from lmcli.engine.batches import by_length, check_fits, encode, usable_context
from lmcli.engine.memory import memory_errors
from lmcli.engine.translation_codes import TranslationCodes
from lmcli.types import Checkpoint, Chunk, Done, Event, Prompt, SamplingParams, Usage

_BATCH_TOKENS = 2048  # of padded input; small enough that the first lines appear soon


class TransformersSeq2Seq:
    """types.Seq2SeqEngine over a model with `generate`. Beams and penalties are the checkpoint's own."""

    def __init__(self, checkpoint: Checkpoint, model: Any, tokenizer: Any) -> None:
        self.checkpoint = checkpoint
        self._model, self._tokenizer = model, tokenizer
        self._codes = TranslationCodes(checkpoint.name, model.config, tokenizer)
        self._longest_input = usable_context(model, tokenizer)
        self.context_length = self._longest_input - self._codes.prefix_length
        eos = model.generation_config.eos_token_id
        self._eos = set(eos) if isinstance(eos, list) else {eos}

    def count(self, prompt: Prompt) -> int:
        return len(encode(self._tokenizer, str(prompt))["input_ids"])

    def languages(self) -> tuple[str, ...]:
        return self._codes.languages

    def rewrite(
        self, texts: Sequence[str], params: SamplingParams, source: str | None = None, target: str | None = None
    ) -> Iterator[Event]:
        prefix, options = self._codes.select(source, target)
        inputs: list[list[int]] = [encode(self._tokenizer, text, prefix)["input_ids"] for text in texts]
        check_fits(max(map(len, inputs), default=0), self._longest_input, self.checkpoint.name)
        return self._rewrite(inputs, params, options, translating=target is not None)

    def _rewrite(
        self, inputs: list[list[int]], params: SamplingParams, asked: dict[str, Any], translating: bool
    ) -> Iterator[Event]:
        clock = _Clock()
        if params.temperature > 0:
            torch.seed() if params.seed is None else torch.manual_seed(params.seed)
        outputs: dict[int, list[int]] = {}
        shown = 0
        for batch in by_length([len(tokens) for tokens in inputs], _BATCH_TOKENS):
            longest = len(inputs[batch[-1]])
            options = asked | self._limits(params, asked, longest, translating) | _sampling(params)
            generated = self._generate([inputs[i] for i in batch], options, clock)
            outputs |= dict(zip(batch, generated, strict=True))
            while shown in outputs:  # Chunks go out in the texts' own order.
                yield Chunk(self._decode(outputs[shown], asked.get("forced_bos_token_id")))
                shown += 1
        whole = all(tokens and tokens[-1] in self._eos for tokens in outputs.values())
        prompt, completion = (sum(map(len, sequences)) for sequences in (inputs, outputs.values()))
        yield Done("stop" if whole else "length", clock.usage(prompt, completion))

    def _limits(self, params: SamplingParams, asked: dict[str, Any], longest: int, translating: bool) -> dict[str, Any]:
        # At its limit many a config forces an end token, and what is cut would look whole.
        limits: dict[str, Any] = {"forced_eos_token_id": None}
        own = self._model.generation_config
        if params.max_tokens:
            least = asked.get("min_length") or own.min_length or 0
            limits |= {"max_new_tokens": params.max_tokens, "min_length": min(least, params.max_tokens)}
        elif translating or not (asked.get("max_length") or own.max_length or own.max_new_tokens):
            # Checkpoints stop at 20 or 200 tokens, whatever the sentence: a translation must not be cut.
            limits["max_new_tokens"] = min(3 * longest + 32, self._longest_input)
        return limits

    @torch.inference_mode()
    def _generate(self, batch: list[list[int]], options: dict[str, Any], clock: _Clock) -> list[list[int]]:
        padded = self._tokenizer.pad({"input_ids": batch}, return_tensors="pt").to(self._model.device)
        with memory_errors(self.checkpoint), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Advice on generation_config.json, the checkpoint's author's matter.
            output = self._model.generate(**padded, **options, stopping_criteria=[clock])
        return [self._trimmed(row) for row in output]

    def _trimmed(self, row: Tensor) -> list[int]:
        """A row (T,) without the decoder's start token and the padding behind its end."""
        tokens: list[int] = row.tolist()[1:]
        end = next((i for i, token in enumerate(tokens) if token in self._eos), len(tokens) - 1)
        return tokens[: end + 1]

    def _decode(self, tokens: list[int], language: int | None) -> str:
        # Not every tokenizer counts the language at the beginning among its special tokens.
        said = tokens[1:] if tokens[:1] == [language] else tokens
        text: str = self._tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()


class _Clock(transformers.StoppingCriteria):
    """Notes when the first token came; stops nothing."""

    def __init__(self) -> None:
        self._start, self._first = time.perf_counter(), 0.0

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        self._first = self._first or time.perf_counter()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    def usage(self, prompt_tokens: int, completion_tokens: int) -> Usage:
        now = time.perf_counter()
        first = self._first or now
        return Usage(prompt_tokens, 0, completion_tokens, first - self._start, now - first)


def _sampling(params: SamplingParams) -> dict[str, Any]:
    """The options of `generate`; greedy where nothing is asked, whatever generation_config.json says."""
    options: dict[str, Any] = {"do_sample": params.temperature > 0}
    if params.repetition_penalty != 1:
        options["repetition_penalty"] = params.repetition_penalty
    if params.temperature > 0:
        options |= {"num_beams": 1, "temperature": params.temperature, "top_p": params.top_p, "top_k": params.top_k}
        options |= {"min_p": params.min_p} if params.min_p else {}
    return options
