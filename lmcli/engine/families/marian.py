"""Marian (Junczys-Dowmunt et al. 2018, arXiv:1804.00344), the translators of OPUS-MT: fixed sinusoidal positions, norms
behind every layer."""

from __future__ import annotations

from typing import Any

from lmcli.engine.seq2seq_config import EncoderDecoderConfig, Seq2SeqFields, read_bart_dimensions, read_bart_norms


def read_seq2seq(config: dict[str, Any]) -> EncoderDecoderConfig:
    fields = Seq2SeqFields(config)
    dimensions = read_bart_dimensions(fields) | read_bart_norms(fields)
    fields.finish()
    return EncoderDecoderConfig(
        **dimensions, pad_token_id=fields.pad_token_id, positions="sinusoidal", logits_bias=True
    )
