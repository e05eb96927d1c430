"""mBART and mBART-50 (Liu et al. 2020, arXiv:2001.08210): BART with norms before every layer and behind the last."""

from __future__ import annotations

from typing import Any

from lmcli.engine.seq2seq_config import EncoderDecoderConfig, Seq2SeqFields, read_bart_dimensions, read_bart_norms


def read_seq2seq(config: dict[str, Any]) -> EncoderDecoderConfig:
    fields = Seq2SeqFields(config)
    dimensions = read_bart_dimensions(fields) | read_bart_norms(fields, pre_norm=True, embedding_norm=True)
    fields.finish()
    return EncoderDecoderConfig(
        **dimensions, pad_token_id=fields.pad_token_id, positions="learned", position_offset=2, logits_bias=True
    )
