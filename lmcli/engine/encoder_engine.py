"""Our own encoders of the BERT family: weights mapped, products in bf16, texts packed into rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from lmcli.engine.batches import check_fits
from lmcli.engine.config import NotUnderstood
from lmcli.engine.device import Placement, has_bf16, pick_device, place
from lmcli.engine.encoder import Encoder, EncoderConfig, LayerNorm, Table
from lmcli.engine.encoder_tokenizer import EncoderTokenizer
from lmcli.engine.encoders import read_config
from lmcli.engine.files import read_json
from lmcli.engine.gradients import attribute, chance_of, embed
from lmcli.engine.linear import prefill_dtype
from lmcli.engine.memory import memory_errors
from lmcli.engine.quantized_weights import plain, read_quantization, without_quantization
from lmcli.engine.rows import Row, Rows, batches, fill, lay
from lmcli.engine.weights import assign, read_weights
from lmcli.engine.workers import in_parallel
from lmcli.explanations import Weight
from lmcli.protocols import Target
from lmcli.types import Checkpoint, Event, LoadOptions, Prompt

AnyEncoder = TypeVar("AnyEncoder", bound=Encoder)
Result = TypeVar("Result")
# Tokens in a batch: what keeps a core's products busy and their results in its cache, and what fills a GPU.
_CPU_BATCH, _GPU_BATCH = 1024, 32768


@dataclass(frozen=True)
class Understood:
    """A classifier's checkpoint, all of it known to us: its weights by the module's names, and its tokenizer."""

    config: EncoderConfig
    weights: dict[str, Tensor]
    tokenizer: EncoderTokenizer


def understand(checkpoint: Checkpoint) -> Understood:
    """Raises NotUnderstood where any of it is not ours to compute."""
    config = read_fields(checkpoint.path)
    return Understood(
        config,
        named_weights(Encoder(config), config.names, read_weights(checkpoint.path)),
        EncoderTokenizer(checkpoint.path, checkpoint.model_type),
    )


def open_engine(
    checkpoint: Checkpoint, understood: Understood, options: LoadOptions, report: Callable[[Event], None]
) -> EncoderClassifier:
    """The engine for a checkpoint that was understood. Raises CheckpointError for weights that do not fit.

    `bits` 8 computes in int8 on a CPU: with AMX no faster than bf16, and it changes one label in twelve.
    """
    placement = place_encoder(checkpoint, options, report)
    encoder = load_encoder(Encoder(understood.config), understood.weights, placement, options.bits)
    return EncoderClassifier(checkpoint, encoder, understood.tokenizer, placement.device)


def read_fields(folder: Path) -> EncoderConfig:
    """The dimensions in a folder's config.json. Raises NotUnderstood, also for weights stored as ours are not."""
    config = read_json(folder / "config.json")
    read_quantization(config, embeddings=True)
    return read_config(without_quantization(config))


def place_encoder(checkpoint: Checkpoint, options: LoadOptions, report: Callable[[Event], None]) -> Placement:
    """bf16 where it is fast and nothing else is asked for."""
    dtype = _dtype(options.device, options.dtype)
    # Weights that are stored in 8 bits are computed with in `dtype`, like any others.
    return place(replace(checkpoint, dtype=dtype), replace(options, dtype=dtype), report)


def load_encoder(
    encoder: AnyEncoder, weights: dict[str, Tensor], placement: Placement, bits: int | None = None
) -> AnyEncoder:
    """The module with the checkpoint's weights; the words' stay mapped on a CPU."""
    assign(encoder, weights)
    for part in encoder.modules():
        if isinstance(part, Table):
            part.to(placement.device)
        elif isinstance(part, LayerNorm):
            part.to(placement.device, torch.float32)
    for projection in encoder.projections():
        projection.prepare(placement.dtype, placement.device, bits)
    for projection in encoder.head:
        projection.prepare(torch.float32, placement.device)
    return encoder.eval()


class EncoderClassifier:
    """protocols.ClassifierEngine over our encoder."""

    def __init__(
        self, checkpoint: Checkpoint, encoder: Encoder, tokenizer: EncoderTokenizer, device: torch.device
    ) -> None:
        self.checkpoint = checkpoint
        self.context_length = min(encoder.config.context_length, tokenizer.longest or encoder.config.context_length)
        self.labels = encoder.config.labels
        self._encoder, self._tokenizer, self._device = encoder, tokenizer, device

    def count(self, prompt: Prompt) -> int:
        return len(self._tokenizer.encode([str(prompt)])[0])

    def classify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        chances = self._compute(self._tokenizer.encode(texts), None, self._probabilities)
        return [dict(zip(self.labels, row, strict=True)) for row in chances]

    def logits(self, texts: Sequence[str], seconds: Sequence[str] | None = None) -> list[dict[str, float]]:
        if seconds is None:
            inputs, kinds = self._tokenizer.encode(texts), None
        else:
            inputs, kinds = self._tokenizer.encode_pairs(texts, seconds)
        if self._encoder.config.num_token_types < 2:
            kinds = None
        return [dict(zip(self.labels, row, strict=True)) for row in self._compute(inputs, kinds, Tensor.tolist)]

    def attribute(self, text: str, target: Target) -> list[Weight]:
        spelled, encoder = self._tokenizer.spell(text), self._differentiable
        T = len(spelled.ids)
        check_fits(T, self.context_length, self.checkpoint.name)

        def probabilities(words: Tensor) -> Tensor:
            S = len(words)
            positions = torch.arange(T, device=self._device)
            rows = Rows((S, T), positions, positions.repeat(S), T * torch.arange(S, device=self._device), None)
            return self._chances(encoder.logits(encoder.encode(rows, only=rows.first, words=words.flatten(0, 1))))

        with memory_errors(self.checkpoint):
            embedded = embed(encoder.words, text, spelled, self._device)
            return attribute(embedded, probabilities, chance_of(target, self.labels))

    @cached_property
    def _differentiable(self) -> Encoder:
        """The encoder once more: what is laid out for fast products has no gradient, and bf16 would blur it."""
        understood = understand(self.checkpoint)
        placement = Placement(self._device, torch.float32)
        return load_encoder(Encoder(understood.config), understood.weights, placement)

    def _compute(
        self, inputs: list[list[int]], kinds: list[list[int]] | None, read: Callable[[Tensor], list[list[float]]]
    ) -> list[list[float]]:
        """What `read` makes of the logits (texts, labels) of a batch, for each input, in batches on all cores."""
        lengths = [len(tokens) for tokens in inputs]
        check_fits(max(lengths, default=0), self.context_length, self.checkpoint.name)
        return in_batches(partial(self._pass, inputs, kinds, read), lengths, self._device)

    @torch.inference_mode()
    def _pass(
        self, inputs: list[list[int]], kinds: list[list[int]] | None, read: Callable[[Tensor], list[list[float]]],
        batch: Sequence[Row],
    ) -> list[list[float]]:  # fmt: skip
        with memory_errors(self.checkpoint):
            return read(self._encoder(fill(batch, inputs, self._device, kinds)))

    def _probabilities(self, logits: Tensor) -> list[list[float]]:
        rows: list[list[float]] = self._chances(logits).tolist()
        return rows

    def _chances(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self._encoder.config.independent else logits.softmax(-1)


def in_batches(
    compute: Callable[[Sequence[Row]], Sequence[Result]], lengths: Sequence[int], device: torch.device
) -> list[Result]:
    """What `compute` makes of each of the texts of these `lengths`, worked in rows, on a CPU a batch on each core."""
    jobs = list(batches(lay(lengths), _batch_tokens(sum(lengths), device)))
    results = in_parallel(compute, jobs) if device.type == "cpu" else map(compute, jobs)
    found = {
        i: result
        for batch, rows in zip(jobs, results, strict=True)
        for i, result in zip((i for row in batch for i in row.texts), rows, strict=True)
    }
    return [found[i] for i in range(len(lengths))]


def _batch_tokens(total: int, device: torch.device) -> int:
    """Batches of like size for each core, the largest that are not too large."""
    if device.type != "cpu":
        return _GPU_BATCH
    rounds = -(-total // (_CPU_BATCH * torch.get_num_threads()))
    return max(total // max(rounds * torch.get_num_threads(), 1), _CPU_BATCH // 4)


def named_weights(module: Encoder, names: Mapping[str, str], weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file's weights under the module's names; heads of other tasks are left out, as transformers does.

    Those in 8 bits come as the numbers they stand for.
    """
    weights, found = plain(weights), {}
    for name in module.state_dict():
        own, _, kind = name.rpartition(".")
        layer = next(iter(part for part in own.split(".") if part.isdigit()), "")
        file = names[own.replace(f".{layer}.", ".") if layer else own].format(layer)
        # The first BERTs were written with TensorFlow's names.
        old = {"weight": "gamma", "bias": "beta"}[kind]
        where = f"{file}.{kind}" if f"{file}.{kind}" in weights else f"{file}.{old}"
        if where not in weights:
            raise NotUnderstood(f"a checkpoint without {file}.{kind}")
        found[name] = weights[where]
    return found


def _dtype(device: str, asked: str) -> str:
    """bf16 where it is fast: it changes a probability by a thousandth. Half precision is no match for every encoder."""
    if asked != "auto":
        return asked
    where = pick_device(device)
    if where.type == "cpu":
        return str(prefill_dtype()).removeprefix("torch.")
    return "bfloat16" if has_bf16(where) else "float32"
