"""BERT (Devlin et al. 2018, arXiv:1810.04805): the head is the pooler, pretrained on the next sentence, and a linear
layer."""

from __future__ import annotations

from typing import Any

from lmcli.engine.config import ConfigFields
from lmcli.engine.encoder import EncoderConfig, read_encoder


def read(config: dict[str, Any]) -> EncoderConfig:
    fields = ConfigFields(config)
    dimensions = read_encoder(fields)
    names = names_under("bert") | {"dense": "bert.pooler.dense", "output": "classifier"}
    return EncoderConfig(**dimensions, names=names, head_activation="tanh")


def names_under(prefix: str) -> dict[str, str]:
    """What BERT and its kin call the encoder's parts in a checkpoint."""
    layer = f"{prefix}.encoder.layer.{{}}"
    return {
        "words": f"{prefix}.embeddings.word_embeddings",
        "positions": f"{prefix}.embeddings.position_embeddings",
        "token_types": f"{prefix}.embeddings.token_type_embeddings",
        "norm": f"{prefix}.embeddings.LayerNorm",
        "layers.query": f"{layer}.attention.self.query",
        "layers.key": f"{layer}.attention.self.key",
        "layers.value": f"{layer}.attention.self.value",
        "layers.attended": f"{layer}.attention.output.dense",
        "layers.attention_norm": f"{layer}.attention.output.LayerNorm",
        "layers.up": f"{layer}.intermediate.dense",
        "layers.down": f"{layer}.output.dense",
        "layers.mlp_norm": f"{layer}.output.LayerNorm",
    }
