"""Gemma (Mesnard et al. 2024, arXiv:2403.08295): Llama with GELU, embeddings times √width, and norms of 1 + w."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lmcli.engine.config import ConfigFields, DecoderConfig, RopeConfig, read_dimensions
from lmcli.engine.families import llama

ACTIVATION = "gelu_pytorch_tanh"


def read(config: dict[str, Any]) -> DecoderConfig:
    fields = ConfigFields(config)
    dimensions = read_gemma(fields)
    fields.finish()
    return DecoderConfig(**dimensions)


def read_gemma(fields: ConfigFields, rope: RopeConfig | None = None) -> dict[str, Any]:
    """What all Gemmas spell alike."""
    # The first configs say gelu and mean its approximation.
    dimensions = read_dimensions(fields, rope, tied=True, activations=(ACTIVATION, "gelu"))
    fields.expect("hidden_activation", ACTIVATION)
    fields.expect("use_bidirectional_attention", False)
    bias = fields.get("attention_bias", False)
    dimensions |= {"attention_bias": bias, "output_bias": bias, "activation": ACTIVATION}
    return dimensions | {"head_dim": fields.get("head_dim", 256)}


class Decoder(llama.Decoder):
    def embed(self, tokens: Tensor) -> Tensor:
        return super().embed(tokens) * self.config.hidden_size**0.5

    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        # A norm's weight is kept as what it differs from 1 by.
        return {name: w.float() + 1 if name.endswith("norm.weight") else w for name, w in weights.items()}
