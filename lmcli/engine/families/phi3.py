"""Phi 3, 3.5 and 4 (Abdin et al. 2024, arXiv:2404.14219): Llama whose checkpoints hold q, k and v as one tensor.

So they do gate and up. Texts of up to 128 Ki tokens are turned by LongRoPE, in Phi 4 mini three quarters of each head.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lmcli.engine.config import ConfigFields, DecoderConfig, NotUnderstood, RopeConfig, read_dimensions, rope_kind
from lmcli.engine.families import llama

_LONGROPE_KEYS = {"short_factor", "long_factor", "factor", "attention_factor", "original_max_position_embeddings"}


def read(config: dict[str, Any]) -> DecoderConfig:
    fields = ConfigFields(config)
    dimensions = read_dimensions(fields, _read_rope(fields), norm_eps=1e-5)
    dimensions["sliding_windows"] = (fields.get("sliding_window"),) * dimensions["num_layers"]
    # Phi 4 mini's config says these three. The code that auto_map names is what transformers has since taken in.
    fields.expect("lm_head_bias", False)
    fields.expect("full_attn_mod", 1)
    fields.expect("interpolate_factor", 1)
    fields.finish(irrelevant={"auto_map"})
    return DecoderConfig(**dimensions)


class Decoder(llama.Decoder):
    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        config = self.config
        q, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        weights = _split(weights, "qkv_proj", {"q_proj": q, "k_proj": kv, "v_proj": kv})
        return _split(weights, "gate_up_proj", dict.fromkeys(("gate_proj", "up_proj"), config.intermediate_size))


def _split(weights: dict[str, Tensor], whole: str, parts: dict[str, int]) -> dict[str, Tensor]:
    """Views of the rows of each tensor called `whole`, so many under each name of `parts`."""
    named: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if f".{whole}." in name and len(weight) == sum(parts.values()):
            rows = weight.split(list(parts.values()))
            named |= {name.replace(whole, part): view for part, view in zip(parts, rows, strict=True)}
        else:
            named[name] = weight
    return named


def _turned_pairs(fields: ConfigFields, fraction: float) -> int:
    return int(fields.need("hidden_size") // fields.need("num_attention_heads") * fraction) // 2


def _read_rope(fields: ConfigFields) -> RopeConfig:
    """Plain or LongRoPE, which older configs call su or yarn."""
    table = dict(fields.get("rope_scaling") or fields.get("rope_parameters") or {})
    fields.get("rope_parameters")
    kind = {"su": "longrope", "yarn": "longrope"}.get(rope_kind(table), rope_kind(table))
    table = {name: value for name, value in table.items() if name not in ("rope_type", "type") and value is not None}
    theta = table.pop("rope_theta", fields.get("rope_theta", 10000.0))
    fraction = table.pop("partial_rotary_factor", fields.get("partial_rotary_factor", 1.0))
    original = fields.get("original_max_position_embeddings", 4096)
    if table.setdefault("original_max_position_embeddings", original) != original:
        raise NotUnderstood(f"original_max_position_embeddings={original!r}")
    if kind == "default" and len(table) == 1:
        return RopeConfig(theta, fraction=fraction)
    if kind != "longrope" or set(table) - _LONGROPE_KEYS or not {"short_factor", "long_factor"} <= set(table):
        raise NotUnderstood(f"rope_type={kind!r} with {sorted(table)}")
    if {len(table["short_factor"]), len(table["long_factor"])} != {_turned_pairs(fields, fraction)}:
        raise NotUnderstood(f"rope_type={kind!r} with factors for another head size")
    table.setdefault("factor", fields.get("max_position_embeddings", 4096) / original)
    return RopeConfig(theta, kind, table, fraction)
