"""Qwen 2 and 2.5 (Yang et al. 2024, arXiv:2407.10671): Llama with a bias on q, k and v and windows on some layers."""

from __future__ import annotations

from typing import Any

from lmcli.engine.config import ConfigFields, DecoderConfig, read_dimensions, read_layer_windows


def read(config: dict[str, Any]) -> DecoderConfig:
    fields = ConfigFields(config)
    dimensions = read_dimensions(fields)
    dimensions["sliding_windows"] = read_layer_windows(fields, dimensions["num_layers"])
    fields.finish()
    return DecoderConfig(**dimensions, attention_bias=True)
