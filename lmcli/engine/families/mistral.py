"""Mistral (Jiang et al. 2023, arXiv:2310.06825): Llama with a sliding window on every layer."""

from __future__ import annotations

from typing import Any

from lmcli.engine.config import ConfigFields, DecoderConfig, read_dimensions


def read(config: dict[str, Any]) -> DecoderConfig:
    fields = ConfigFields(config)
    dimensions = read_dimensions(fields)
    # An absent window is transformers' default of 4096, a null one is none.
    window = fields.get("sliding_window", 4096 if "sliding_window" not in config else None)
    dimensions["sliding_windows"] = (window,) * dimensions["num_layers"]
    fields.finish()
    return DecoderConfig(**dimensions)
