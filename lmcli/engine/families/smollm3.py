"""SmolLM 3 (Bakouch et al. 2025, huggingface.co/blog/smollm3): Llama whose every fourth layer knows no positions.

Leaving rope out there (Yang et al. 2025, arXiv:2501.18795) helps with long texts.
"""

from __future__ import annotations

from typing import Any

from lmcli.engine.config import (
    ConfigFields,
    DecoderConfig,
    NotUnderstood,
    read_dimensions,
    read_rope,
    read_sliding_layers,
)


def read(config: dict[str, Any]) -> DecoderConfig:
    fields = ConfigFields(config)
    dimensions = read_dimensions(fields, read_rope(fields, theta=2_000_000.0), tied=True)
    num_layers = dimensions["num_layers"]
    interval = fields.get("no_rope_layer_interval", 4)
    turned = fields.get("no_rope_layers", [(i + 1) % interval != 0 for i in range(num_layers)])  # 1 is with rope
    if len(turned) < num_layers:
        raise NotUnderstood(f"no_rope_layers={turned!r}")
    dimensions["ropes"] = tuple(rope if on else None for rope, on in zip(dimensions["ropes"], turned, strict=False))
    dimensions["sliding_windows"] = _windows(fields, [not on for on in turned[:num_layers]])
    bias = fields.get("attention_bias", False)
    dimensions |= {"attention_bias": bias, "output_bias": bias, "mlp_bias": fields.get("mlp_bias", False)}
    fields.finish()
    return DecoderConfig(**dimensions)


def _windows(fields: ConfigFields, unturned: list[bool]) -> tuple[int | None, ...]:
    """Where windows are used at all, they are by default on the layers without rope."""
    window = fields.get("sliding_window") if fields.get("use_sliding_window", False) else None
    sliding = read_sliding_layers(fields, [window is not None and off for off in unturned])
    if window is None and any(sliding):
        raise NotUnderstood("layer_types with windows of no size")
    return tuple(window if slides else None for slides in sliding)
