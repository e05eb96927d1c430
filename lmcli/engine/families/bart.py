"""BART (Lewis et al. 2019, arXiv:1910.13461): learned positions, a norm over the embedding and behind every layer."""

from __future__ import annotations

from typing import Any

from lmcli.engine.seq2seq_config import EncoderDecoderConfig, Seq2SeqFields, read_bart_dimensions


def read_seq2seq(config: dict[str, Any]) -> EncoderDecoderConfig:
    fields = Seq2SeqFields(config)
    dimensions = read_bart_dimensions(fields)
    # Earlier versions of transformers wrote what BART is; it has no other form any more.
    fields.expect("normalize_before", False)
    fields.expect("normalize_embedding", True)
    fields.expect("add_final_layer_norm", False)
    fields.finish()
    return EncoderDecoderConfig(
        **dimensions, pad_token_id=fields.pad_token_id, positions="learned", position_offset=2, embedding_norm=True,
        logits_bias=True,
    )  # fmt: skip
