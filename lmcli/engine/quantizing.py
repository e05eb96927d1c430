"""Quantizing: writes a decoder's checkpoint with the linear layers of its blocks in 8 or 4 bits, one of any other kind
with its embeddings, too, in 8."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmcli.checkpoints.checkpoint import read_config
from lmcli.checkpoints.writing import TensorInfo
from lmcli.engine.config import NotUnderstood
from lmcli.engine.loading import our_engine
from lmcli.engine.quantization import GROUP
from lmcli.engine.quantized_weights import quantizable, quantize_tensor
from lmcli.engine.rebuilding import SAFETENSORS_NAMES, Piece, kept, rebuild
from lmcli.engine.restoring import CARD_NOTE
from lmcli.engine.weights import read_weights
from lmcli.errors import UsageError
from lmcli.types import Checkpoint, Event


def quantize(checkpoint: Checkpoint, folder: Path, bits: int, report: Callable[[Event], None]) -> None:
    """Write `checkpoint` into `folder`, which it replaces; see lmcli.engine.quantize."""
    config = read_config(checkpoint.path)
    check_quantizable(checkpoint, config, bits)
    weights = read_weights(checkpoint.path)
    # Which layers are rounded is told by names and shapes alone, so that the header comes before the first value.
    chosen = {
        name for name, weight in weights.items()
        if weight.is_floating_point() and quantizable(name, tuple(weight.shape), bits, checkpoint.kind)
    }  # fmt: skip
    if not chosen:
        raise UsageError(f"{checkpoint.name} has no layers that could be kept in {bits} bits", "use it as it is")
    pieces = [
        Piece(_forms(name, weight, bits), partial(quantize_tensor, name, weight, bits))
        if name in chosen else kept(name, weight)
        for name, weight in weights.items()
    ]  # fmt: skip
    left = {name for name in weights if name not in chosen}
    fields = config | {"quantization_config": scheme(bits, left, embeddings=checkpoint.kind != "causal")}
    if not (config.get("dtype") or config.get("torch_dtype")):
        fields["dtype"] = checkpoint.dtype
    note = "" if checkpoint.kind == "causal" else f"\n{CARD_NOTE}"
    rebuild(checkpoint, folder, fields, pieces, report, lambda card: card.rstrip() + "\n" + note)


def check_quantizable(checkpoint: Checkpoint, config: dict[str, Any], bits: int) -> None:
    """Raises UsageError for what our engines do not run, and for what is quantized already."""
    if config.get("quantization_config"):
        raise UsageError(f"{checkpoint.name} is quantized already", "quantize the checkpoint it was made from")
    if checkpoint.kind == "encoder":
        raise UsageError(
            f"{checkpoint.name} is an encoder without a head", "train it to classify first: lmcli finetune --help"
        )
    if bits == 4 and checkpoint.kind != "causal":
        raise UsageError(f"{checkpoint.name} is no decoder, and only they can be kept in 4 bits", "use --bits 8")
    try:
        our_engine(checkpoint.kind).understand(checkpoint)
    except NotUnderstood as error:
        raise UsageError(
            f"{checkpoint.name} cannot be quantized: it is run by transformers, because our engine does not know "
            f"{error}",
            "quantize one of another architecture: docs/checkpoints.md names ours",
        ) from error


def scheme(bits: int, left: set[str], embeddings: bool = False) -> dict[str, Any]:
    """config.json's quantization_config as compressed-tensors reads it; the tensors `left` stay as they are."""
    weights = {
        "num_bits": bits, "type": "int", "symmetric": True, "dynamic": False,
        "strategy": "channel" if bits == 8 else "group", "group_size": None if bits == 8 else GROUP,
    }  # fmt: skip
    matrices = (".weight",) if embeddings else ("_proj.weight", ".gate.weight")
    layers = {name.removesuffix(".weight") for name in left if name.endswith(matrices) and "norm" not in name.lower()}
    form = "int-quantized" if bits == 8 else "pack-quantized"
    # Said of the group, too: without it the library takes 8 bits beside whole activations for packed ones.
    group = {
        "targets": ["Linear", "Embedding"] if embeddings else ["Linear"], "weights": weights,
        "input_activations": None, "output_activations": None, "format": form,
    }  # fmt: skip
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": sorted(layers) if embeddings else ["lm_head", *sorted(layers)],
        "kv_cache_scheme": None,
    }


def _forms(name: str, weight: Tensor, bits: int) -> dict[str, TensorInfo]:
    """What the tensors of a quantized weight (N, K) will be, without its values."""
    one_group = quantize_tensor(name, torch.ones(1, GROUP, dtype=weight.dtype), bits)
    N, K = weight.shape
    columns = {1: 1 if bits == 8 else K // GROUP, GROUP: K, GROUP // 8: K // 8}
    forms = {}
    for key, tensor in one_group.items():
        shape = (2,) if key.endswith("_shape") else (N, columns[tensor.shape[1]])
        forms[key] = TensorInfo(
            SAFETENSORS_NAMES[tensor.dtype], shape, torch.Size(shape).numel() * tensor.dtype.itemsize
        )
    return forms
