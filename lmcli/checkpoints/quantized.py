"""Counts the parameters of checkpoints whose weights are stored in 8 or 4 bits, as several libraries pack them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Which tensor of a layer holds its values, by library; what else lies beside it only says how to read them.
_VALUES = {"weight_packed": "I32", "qweight": "I32", "weight": "U8"}
_BESIDE = (
    "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx", "input_scale", "qzeros", "scales", "g_idx",
    "weight_format", "SCB",
)  # fmt: skip


def read_bits(config: Mapping[str, Any]) -> int | None:
    """The bits a config says its linear layers' weights have, None where they have those of their dtype."""
    scheme = config.get("quantization_config")
    if not isinstance(scheme, dict):
        return None
    if scheme.get("quant_method") == "compressed-tensors":
        groups = scheme.get("config_groups")
        first = next(iter(groups.values()), None) if isinstance(groups, dict) else None
        weights = first.get("weights") if isinstance(first, dict) else None
        weights = weights if isinstance(weights, dict) else {}
        bits = weights.get("num_bits") if weights.get("type", "int") == "int" else None
    elif scheme.get("quant_method") == "bitsandbytes":
        bits = 4 if scheme.get("load_in_4bit") else 8
    else:
        bits = scheme.get("bits", scheme.get("w_bit"))
    return bits if isinstance(bits, int) and 0 < bits <= 8 else None


def parameters(name: str, dtype: str, elements: int, bits: int) -> int:
    """How many parameters a tensor of so many `elements` holds: several each where they are packed."""
    last = name.rpartition(".")[2]
    if last in _BESIDE or ".weight." in name:  # bitsandbytes: weight.absmax, weight.quant_map …
        return 0
    width = {"I32": 32, "U8": 8}.get(dtype)
    return elements * width // bits if width and _VALUES.get(last) == dtype else elements
