"""Gemma 3 without its eyes (Kamath et al. 2025, arXiv:2503.19786): Gemma 2 with normalized queries and keys for caps,
and two ropes, a slower one on the layers without a window."""

from __future__ import annotations

from typing import Any

from lmcli.engine.config import ConfigFields, DecoderConfig, NotUnderstood, RopeConfig, rope_of
from lmcli.engine.families import gemma2
from lmcli.engine.families.gemma2 import Gemma2Config

Decoder = gemma2.Decoder


def read(config: dict[str, Any]) -> DecoderConfig:
    fields = ConfigFields(config)
    every = fields.get("sliding_window_pattern", fields.get("_sliding_window_pattern", 6))
    wide, narrow = _read_ropes(fields)
    dimensions = gemma2.read_gemma2(fields, every, wide)
    dimensions["ropes"] = tuple(narrow if window else wide for window in dimensions["sliding_windows"])
    fields.expect("attn_logit_softcapping", None)
    cap = fields.get("final_logit_softcapping")
    fields.finish(irrelevant={"cache_implementation"})
    return Gemma2Config(**dimensions, qk_norm=True, logit_cap=cap)


def _read_ropes(fields: ConfigFields) -> tuple[RopeConfig, RopeConfig]:
    """The rope of layers that see all and of those with a window: a table each, or named apart in earlier configs."""
    tables = fields.get("rope_parameters", {})
    if set(tables) - {"full_attention", "sliding_attention"}:
        raise NotUnderstood(f"rope_parameters={tables!r}")
    wide = (tables.get("full_attention") or {}) | fields.get("rope_scaling", {})
    narrow = tables.get("sliding_attention") or {}
    thetas = fields.get("rope_theta", 1_000_000.0), fields.get("rope_local_base_freq", 10_000.0)
    return rope_of(wide, thetas[0]), rope_of(narrow, thetas[1])
