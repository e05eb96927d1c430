"""M2M-100 (Fan et al. 2020, arXiv:2010.11125) and NLLB-200: sinusoidal positions as fairseq counts them, norms before
every layer and behind the last."""

from __future__ import annotations

from typing import Any

from lmcli.engine.seq2seq_config import EncoderDecoderConfig, Seq2SeqFields, read_bart_dimensions


def read_seq2seq(config: dict[str, Any]) -> EncoderDecoderConfig:
    fields = Seq2SeqFields(config)
    dimensions = read_bart_dimensions(fields)
    fields.finish()
    pad = fields.pad_token_id
    return EncoderDecoderConfig(
        **dimensions, pad_token_id=pad, positions="fairseq", position_offset=pad + 1, pre_norm=True
    )
