"""BART (Lewis et al. 2019, arXiv:1910.13461): learned positions, a norm over the embedding and behind every layer."""

from __future__ import annotations

from typing import Any

from lmcli.engine.seq2seq_config import EncoderDecoderConfig, Seq2SeqFields, read_bart_dimensions, read_bart_norms


def read_seq2seq(config: dict[str, Any]) -> EncoderDecoderConfig:
    fields = Seq2SeqFields(config)
    dimensions = read_bart_dimensions(fields) | read_bart_norms(fields, embedding_norm=True)
    fields.finish()
    return EncoderDecoderConfig(
        **dimensions, pad_token_id=fields.pad_token_id, positions="learned", position_offset=2, logits_bias=True
    )
