"""DistilBERT (Sanh et al. 2019, arXiv:1910.01108): half of BERT's layers, no token types, ReLU in the head."""

from __future__ import annotations

from typing import Any

from lmcli.engine.config import ConfigFields
from lmcli.engine.encoder import EncoderConfig, finish_classifier

_LAYER = "distilbert.transformer.layer.{}"
_NAMES = {
    "words": "distilbert.embeddings.word_embeddings",
    "positions": "distilbert.embeddings.position_embeddings",
    "norm": "distilbert.embeddings.LayerNorm",
    "layers.query": f"{_LAYER}.attention.q_lin",
    "layers.key": f"{_LAYER}.attention.k_lin",
    "layers.value": f"{_LAYER}.attention.v_lin",
    "layers.attended": f"{_LAYER}.attention.out_lin",
    "layers.attention_norm": f"{_LAYER}.sa_layer_norm",
    "layers.up": f"{_LAYER}.ffn.lin1",
    "layers.down": f"{_LAYER}.ffn.lin2",
    "layers.mlp_norm": f"{_LAYER}.output_layer_norm",
    "dense": "pre_classifier",
    "output": "classifier",
}


def read(config: dict[str, Any]) -> EncoderConfig:
    fields = ConfigFields(config)
    fields.expect("sinusoidal_pos_embds", False)
    dimensions = {
        "vocab_size": fields.need("vocab_size"),
        "hidden_size": fields.need("dim"),
        "intermediate_size": fields.need("hidden_dim"),
        "num_layers": fields.need("n_layers"),
        "num_heads": fields.need("n_heads"),
        "num_positions": fields.need("max_position_embeddings"),
        "activation": fields.get("activation", "gelu"),
        **finish_classifier(fields),
    }
    return EncoderConfig(**dimensions, names=_NAMES, head_activation="relu")
