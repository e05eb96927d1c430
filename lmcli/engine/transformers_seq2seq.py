"""Encoder-decoders through transformers: Marian, NLLB, M2M100, mBART, T5 and BART rewrite texts in batches."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lmcli.engine.batches import by_length, usable_context
from lmcli.engine.translation_codes import TranslationCodes
from lmcli.errors import InputTooLong
from lmcli.types import Checkpoint, Chunk, Done, Event, Prompt, SamplingParams, Usage

_BATCH_TOKENS = 2048  # of padded input; small enough that the first lines appear soon


class TransformersSeq2Seq:
    """types.Seq2SeqEngine over a model with `generate`. Beams and lengths are the checkpoint's own."""

    def __init__(self, checkpoint: Checkpoint, model: Any, tokenizer: Any) -> None:
        self.checkpoint = checkpoint
        self._model, self._tokenizer = model, tokenizer
        self._codes = TranslationCodes(checkpoint.name, model.config, tokenizer)
        self.context_length = usable_context(model.config, tokenizer)

    def count(self, prompt: Prompt) -> int:
        return len(self._tokenizer(str(prompt))["input_ids"])

    def languages(self) -> tuple[str, ...]:
        return self._codes.languages

    def rewrite(
        self,
        texts: Sequence[str],
        params: SamplingParams,
        source: str | None = None,
        target: str | None = None,
    ) -> Iterator[Event]:
        prefix, forced = self._codes.select(source, target)
        inputs = [self._tokenizer(prefix + text)["input_ids"] for text in texts]
        for tokens in inputs:
            if len(tokens) > self.context_length:
                raise InputTooLong(
                    f"a text has {len(tokens)} tokens, more than the {self.context_length} of {self.checkpoint.name}",
                    "split it, or use a checkpoint with a longer context",
                )
        return self._rewrite(inputs, params, forced, translating=target is not None)

    def _rewrite(
        self, inputs: list[list[int]], params: SamplingParams, forced: int | None, translating: bool
    ) -> Iterator[Event]:
        start = time.perf_counter()
        outputs: dict[int, list[int]] = {}
        shown, first_at = 0, 0.0
        for batch in by_length(inputs, _BATCH_TOKENS):
            generated = self._generate([inputs[i] for i in batch], params, forced, translating)
            outputs |= dict(zip(batch, generated, strict=True))
            while shown in outputs:  # Chunks go out in the texts' own order.
                yield Chunk(self._decode(outputs[shown]))
                first_at = first_at or time.perf_counter()
                shown += 1
        eos = self._eos()
        cut = any(tokens and tokens[-1] not in eos for tokens in outputs.values())
        now = time.perf_counter()
        prompt, completion = (sum(map(len, sequences)) for sequences in (inputs, outputs.values()))
        usage = Usage(prompt, 0, completion, (first_at or now) - start, now - (first_at or now))
        yield Done("length" if cut else "stop", usage)

    @torch.inference_mode()
    def _generate(
        self, batch: list[list[int]], params: SamplingParams, forced: int | None, translating: bool
    ) -> list[list[int]]:
        padded = self._tokenizer.pad({"input_ids": batch}, return_tensors="pt").to(self._model.device)
        longest = padded["input_ids"].shape[1]
        options: dict[str, Any] = {} if forced is None else {"forced_bos_token_id": forced}
        if params.max_tokens:
            options["max_new_tokens"] = params.max_tokens
        elif translating:
            # Checkpoints stop at 200 tokens or so, whatever the sentence: a translation must not be cut.
            options["max_new_tokens"] = min(3 * longest + 32, self.context_length)
        if params.temperature > 0:
            options |= {"do_sample": True, "temperature": params.temperature, "top_p": params.top_p}
            options |= {"num_beams": 1} | ({"top_k": params.top_k} if params.top_k else {})
            torch.manual_seed(torch.seed() % 2**63 if params.seed is None else params.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Advice on generation_config.json, the checkpoint's author's matter.
            output = self._model.generate(**padded, **options)
        return [self._trimmed(row) for row in output]

    def _trimmed(self, row: Tensor) -> list[int]:
        """A row (T,) without the decoder's start token and the padding behind its end."""
        tokens: list[int] = row.tolist()[1:]
        eos = self._eos()
        end = next((i for i, token in enumerate(tokens) if token in eos), len(tokens) - 1)
        return tokens[: end + 1]

    def _eos(self) -> set[int]:
        eos = self._model.generation_config.eos_token_id
        return set(eos) if isinstance(eos, list) else {eos}

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()
