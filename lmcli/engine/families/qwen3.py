"""Qwen 3 (Yang et al. 2025, arXiv:2505.09388): Llama with normalized queries and keys and its own head size."""

from __future__ import annotations

from typing import Any

from lmcli.engine.config import ConfigFields, DecoderConfig, read_dimensions, read_layer_windows


def read(config: dict[str, Any]) -> DecoderConfig:
    fields = ConfigFields(config)
    dimensions = read_dimensions(fields)
    dimensions["head_dim"] = fields.get("head_dim", 128)
    dimensions["sliding_windows"] = read_layer_windows(fields, dimensions["num_layers"])
    bias = fields.get("attention_bias", False)
    fields.finish()
    return DecoderConfig(**dimensions, attention_bias=bias, output_bias=bias, qk_norm=True)
