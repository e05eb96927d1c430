"""Our own encoder-decoder for the families we know: on a CPU in bf16, with an int8 head that finds the likeliest tokens
and the true weights to weigh them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from lmcli.engine.device import has_bf16, pick_device, place
from lmcli.engine.encoder_decoder import EncoderDecoder
from lmcli.engine.families import read_seq2seq_config
from lmcli.engine.files import read_json
from lmcli.engine.generation_settings import read_options, settle
from lmcli.engine.int8 import can_int8
from lmcli.engine.json_tokenizer import read_json_tokenizer
from lmcli.engine.linear import prefill_dtype
from lmcli.engine.marian_tokenizer import read_marian
from lmcli.engine.offline import stay_offline
from lmcli.engine.output_head import OutputHead
from lmcli.engine.quantized_weights import read_quantization, without_quantization
from lmcli.engine.rewriting import Clock, RewritingEngine
from lmcli.engine.sampling import Sampler
from lmcli.engine.seq2seq_config import UNBOUNDED, EncoderDecoderConfig
from lmcli.engine.seq2seq_decoding import Proposer, decode
from lmcli.engine.seq2seq_weights import load_module
from lmcli.engine.translation_codes import TranslationCodes
from lmcli.types import Checkpoint, Event, LoadOptions, Notice, SamplingParams


@dataclass(frozen=True)
class Understood:
    """An encoder-decoder's checkpoint, all of it known to us: its dimensions and generation options."""

    config: EncoderDecoderConfig
    generation: dict[str, Any]


def understand(checkpoint: Checkpoint) -> Understood:
    """Raises NotUnderstood where any of it is not ours to compute."""
    fields = read_json(checkpoint.path / "config.json")
    read_quantization(fields, embeddings=True)
    return Understood(read_seq2seq_config(without_quantization(fields)), read_options(checkpoint.path))


def open_engine(
    checkpoint: Checkpoint, understood: Understood, options: LoadOptions, report: Callable[[Event], None]
) -> RewritingEngine:
    """The engine for a checkpoint that we understand; with 8 bits on a CPU every product is one of int8.

    Raises CheckpointError for weights that do not fit.
    """
    config, dtype, bits = understood.config, options.dtype, options.bits
    fast = _fast_dtype(options.device) if dtype == "auto" else dtype
    # Weights that are stored in 8 bits are computed with in `fast`, like any others.
    placement = place(replace(checkpoint, dtype=fast), replace(options, dtype=fast), report)
    tokenizer = _load_tokenizer(checkpoint)
    can = placement.device.type == "cpu" and can_int8()
    module, weights = load_module(checkpoint.path, config, placement.device, placement.dtype, bits)
    int8 = can and (dtype == "auto" or bits == 8)
    # What int8 has found is weighed with the weights as they lie in the file.
    weight = weights.weight if int8 else weights.weight.to(placement.dtype)
    head = OutputHead(weight, weights.bias, config.logits_scale, int8)
    if int8:
        report(Notice(f"{checkpoint.name} finds the likeliest tokens in int8 and weighs them exactly", verbose=True))
    # Distances have no bound; 512 is what T5 was trained on.
    limits = [n for n in (config.context_length, tokenizer.model_max_length) if 0 < n < UNBOUNDED]
    longest = min(limits, default=512)
    rewriter = EncoderDecoderRewriter(module, head, understood.generation, longest)
    codes = TranslationCodes(checkpoint.name, read_json(checkpoint.path / "config.json"), tokenizer)
    return RewritingEngine(checkpoint, rewriter, tokenizer, codes)


class EncoderDecoderRewriter:
    """rewriting.Rewriter over our module."""

    def __init__(self, module: EncoderDecoder, head: OutputHead, options: dict[str, Any], longest_input: int) -> None:
        self.options, self.longest_input = options, longest_input
        self._module, self._head = module, head

    @torch.inference_mode()
    def write(
        self, batch: list[list[int]], options: dict[str, Any], params: SamplingParams, clock: Clock
    ) -> list[list[int]]:
        settings = settle(self.options | options)
        # There is no position behind the last one.
        settings = replace(settings, max_tokens=min(settings.max_tokens, self._module.config.context_length))
        if params.repetition_penalty != 1.0:
            settings = replace(settings, repetition_penalty=params.repetition_penalty)
        samplers = None
        if params.temperature > 0:
            settings = replace(settings, num_beams=1)
            params = replace(params, repetition_penalty=settings.repetition_penalty)
            device = self._module.shared.weight.device
            # One for each source: what is drawn for a text does not depend on those beside it.
            samplers = [Sampler(params, [settings.start_token_id], device) for _ in batch]
        return decode(self._module, Proposer(self._head, settings, samplers), batch, settings, clock)


def _fast_dtype(device: str) -> str:
    """What `auto` is: bf16 where it is fast; fp16 has not the range that T5 needs."""
    where = pick_device(device)
    if where.type == "cpu":
        return str(prefill_dtype()).removeprefix("torch.")
    return "bfloat16" if has_bf16(where) else "float32"


def _load_tokenizer(checkpoint: Checkpoint) -> Any:
    if checkpoint.model_type == "marian":
        ours = read_json_tokenizer(checkpoint.path) or read_marian(checkpoint.path)
        if ours is not None:
            return ours
    stay_offline()
    # Importing transformers takes seconds: only the families that need its tokenizers pay for it.
    from lmcli.engine.transformers_tokenizer import load_tokenizer

    return load_tokenizer(checkpoint)
