"""mT5 (Xue et al. 2020, arXiv:2010.11934): T5 1.1 in a hundred languages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lmcli.engine.families import t5
from lmcli.engine.seq2seq_config import EncoderDecoderConfig


def read_seq2seq(config: dict[str, Any]) -> EncoderDecoderConfig:
    return replace(t5.read_seq2seq(config), logits_scale=1.0)
