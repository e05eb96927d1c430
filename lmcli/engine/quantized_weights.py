"""A checkpoint's weights in 8 or 4 bits: which tensors have them, and how an engine takes them.

The layout is that of the compressed-tensors library, which other programs read too: of decoders the linear layers. Of
the other kinds the embeddings have 8 bits as well, in the same layout; those lmcli alone reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lmcli.engine.config import NotUnderstood
from lmcli.engine.linear import Linear
from lmcli.engine.quantization import GROUP, dequantize, quantize_groups, quantize_rows
from lmcli.errors import CheckpointError
from lmcli.types import Kind

# The linear layers of a decoder's blocks, in all families of ours; not the router of a mixture, which is small and
# decides much.
_LAYER = re.compile(r".*\blayers\.\d+\..*(_proj|\.w[123])\.weight")
# A matrix of fewer rows weighs nothing and decides much: labels, token types.
_FEWEST_ROWS = 16
_EXACT = ("embed_positions", "relative_attention_bias")  # of encoder-decoders: small, and added to everything
# What a scheme may say of its weights without changing what they are.
_WEIGHTS = {
    "type": ("int",), "symmetric": (True,), "dynamic": (False,), "block_structure": (None,),
    "actorder": (None, "weight", "static", False), "zp_dtype": (None, "torch.int8"),
}  # fmt: skip


def without_quantization(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of what was quantized."""
    return {name: value for name, value in config.items() if name != "quantization_config"}


def read_quantization(config: Mapping[str, Any], embeddings: bool = False) -> int | None:
    """The bits a config says its linear layers have, and its `embeddings` perhaps; None where it says nothing.

    Raises NotUnderstood where they are stored in another way than ours.
    """
    scheme = config.get("quantization_config")
    if not scheme:
        return None
    if scheme.get("quant_method") != "compressed-tensors":
        raise NotUnderstood(f"weights quantized by {scheme.get('quant_method')}")
    groups = list((scheme.get("config_groups") or {}).values())
    if len(groups) != 1 or scheme.get("kv_cache_scheme") or scheme.get("sparsity_config"):
        raise NotUnderstood("compressed-tensors with more than one scheme")
    group, weights = groups[0], groups[0].get("weights") or {}
    bits, strategy, form = weights.get("num_bits"), weights.get("strategy"), scheme.get("format")
    known = {(8, "channel", "int-quantized"), (8, "channel", "naive-quantized"), (4, "group", "pack-quantized")}
    plain = all(weights.get(name, values[0]) in values for name, values in _WEIGHTS.items())
    if (bits, strategy, form) not in known or not plain or group.get("output_activations"):
        raise NotUnderstood(f"compressed-tensors of {bits} bits by {strategy} as {form}")
    if bits == 4 and group.get("input_activations"):
        raise NotUnderstood("compressed-tensors that round activations")
    if "Embedding" in (group.get("targets") or ()) and not embeddings:
        raise NotUnderstood("compressed-tensors of embeddings")
    return 8 if bits == 8 else 4


def quantizable(name: str, shape: tuple[int, ...], bits: int, kind: Kind = "causal") -> bool:
    """Whether the tensor called `name` of a checkpoint of that kind is one whose values can be kept in `bits`."""
    fits = len(shape) == 2 and (bits == 8 or shape[1] % GROUP == 0)
    if kind == "causal":
        return fits and _LAYER.fullmatch(name) is not None
    exact = any(part in name for part in _EXACT)
    return fits and shape[0] >= _FEWEST_ROWS and name.endswith(".weight") and not exact


def quantize_tensor(name: str, weight: Tensor, bits: int) -> dict[str, Tensor]:
    """What a weight (N, K) called `name` becomes in the file, by name."""
    layer = name.removesuffix(".weight")
    if bits == 8:
        values, scale = quantize_rows(weight)
        return {f"{layer}.weight": values, f"{layer}.weight_scale": scale.unsqueeze(1)}
    packed, scale = quantize_groups(weight)
    shape = torch.tensor(weight.shape)
    return {f"{layer}.weight_packed": packed, f"{layer}.weight_scale": scale, f"{layer}.weight_shape": shape}


def quantize_weights(weights: dict[str, Tensor], bits: int) -> dict[str, Tensor]:
    """A whole checkpoint's tensors with those of the linear layers in `bits`, as a file would hold them."""
    quantized: dict[str, Tensor] = {}
    for name, weight in weights.items():
        fits = weight.is_floating_point() and quantizable(name, tuple(weight.shape), bits)
        quantized |= quantize_tensor(name, weight, bits) if fits else {name: weight}
    return quantized


def scaled(weights: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor | None]]:
    """By the names that a plain file would have: what this one holds, with its scale where that is in 8 or 4 bits.

    Raises CheckpointError for scales that do not fit.
    """
    found: dict[str, tuple[Tensor, Tensor | None]] = {}
    for name, weight in weights.items():
        layer = name.removesuffix("_packed")
        scale = weights.get(f"{layer}_scale") if layer.endswith(".weight") else None
        if scale is not None and scale.shape[0] != weight.shape[0]:
            form = f"{tuple(weight.shape)} with scales {tuple(scale.shape)}"
            raise CheckpointError(f"the weights of {layer} do not fit: {form}", "make them again")
        if not name.endswith((".weight_shape", ".weight_scale")):
            found[name if scale is None else layer] = weight, scale
    return found


def plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors, those in 8 or 4 bits as the numbers they stand for, in fp32; the others stay mapped."""
    return {
        name: weight if scale is None else dequantize(weight, scale, torch.float32)
        for name, (weight, scale) in scaled(weights).items()
    }


def convert(weights: dict[str, Tensor], device: torch.device, dtype: torch.dtype, keep: bool) -> dict[str, Tensor]:
    """The weights on `device` in `dtype`; those already so stay mapped from their file.

    With `keep` so do 8 and 4 bits, the packed ones under the name of their layer's weight; else they are dequantized.
    """
    converted: dict[str, Tensor] = {}
    for name, (weight, scale) in scaled(weights).items():
        if scale is None:
            converted[name] = weight.to(device, dtype)
        elif keep:
            converted |= {name: weight, f"{name}_scale": scale}
        else:
            converted[name] = dequantize(weight.to(device), scale.to(device), dtype)
    return converted


def await_quantized(module: nn.Module, weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Make ready the layers of a meta module whose `weights` come with scales. Raises CheckpointError."""
    for name, layer in module.named_modules():
        scale = weights.get(f"{name}.weight_scale")
        if isinstance(layer, Linear) and scale is not None and f"{name}.weight" in weights:
            try:
                layer.await_quantized(weights[f"{name}.weight"], scale, dtype)
            except ValueError as error:
                raise CheckpointError(f"the weights of {name} do not fit: {error}", "make them again") from error
