"""An encoder-decoder's weights, from a checkpoint's names to ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lmcli.engine.encoder_decoder import EncoderDecoder
from lmcli.engine.quantized_weights import plain
from lmcli.engine.seq2seq_config import EncoderDecoderConfig
from lmcli.engine.weights import assign, read_weights

_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")


class HeadWeights(NamedTuple):
    """The output head's weight (V, hidden), most often the embedding itself, and its bias (V,)."""

    weight: Tensor
    bias: Tensor | None


def load_module(
    folder: Path, config: EncoderDecoderConfig, device: torch.device, dtype: torch.dtype, bits: int | None = None
) -> tuple[EncoderDecoder, HeadWeights]:
    """The module with the checkpoint's weights, and its head's. Raises CheckpointError for weights that do not fit.

    Its projections compute in `dtype`, or in `bits` (8). The embedding stays as it lies in its file: of it a row is
    read at a time. What is stored in 8 bits becomes the fp32 numbers it stands for.
    """
    weights = {_renamed(name, config): weight for name, weight in plain(read_weights(folder)).items()}
    embeddings = [weights.pop(name) for name in _EMBEDDINGS if name in weights]
    bias = weights.pop("final_logits_bias", None)
    weights = _positions(config) | weights
    if embeddings:
        weights["shared.weight"] = embeddings[0]
    module = EncoderDecoder(config)
    assign(module, {name: _placed(name, weight, device) for name, weight in weights.items()})
    for projection in module.projections():
        projection.prepare(dtype, device, bits)
    # A head of its own stands last; one that is tied is not in the file.
    head = embeddings[-1].to(device)
    return module.eval(), HeadWeights(head, None if bias is None else bias.to(device).float().flatten())


def _renamed(name: str, config: EncoderDecoderConfig) -> str:
    name = name.removeprefix("model.")
    for pattern, replacement in config.names:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"(layers\.\d+)\.(fc1|fc2|gate)\.", r"\1.mlp.\2.", name)


def _placed(name: str, weight: Tensor, device: torch.device) -> Tensor:
    # Norms, positions and distances work on the residual stream and the logits of attention, in their precision.
    exact = "norm" in name or "embed_positions" in name or "relative_bias" in name
    return weight.to(device, torch.float32 if exact else weight.dtype)


def _positions(config: EncoderDecoderConfig) -> dict[str, Tensor]:
    """Sinusoidal positions for both stacks, where the family has them: they follow from the config."""
    count, size = config.context_length + config.position_offset, config.hidden_size
    if config.positions == "sinusoidal":
        table = _sinusoids(count, size, 2 * torch.arange(size // 2).double() / size)
    elif config.positions == "fairseq":
        table = _sinusoids(count, size, torch.arange(size // 2).double() / (size // 2 - 1))
    else:
        return {}
    return {f"{stack}.embed_positions.weight": table for stack in ("encoder", "decoder")}


def _sinusoids(count: int, size: int, powers: Tensor) -> Tensor:
    """Sines, then cosines of each position over 10000 ** powers: (count, size)."""
    angles = torch.arange(count).double()[:, None] / 10000.0**powers
    table = torch.zeros(count, size)
    table[:, : len(powers)], table[:, len(powers) : 2 * len(powers)] = angles.sin(), angles.cos()
    return table
