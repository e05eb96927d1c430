"""RoBERTa (Liu et al. 2019, arXiv:1907.11692): BERT with a head of its own, that counts positions from behind the
padding id."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lmcli.engine.config import ConfigFields
from lmcli.engine.encoder import EncoderConfig, read_encoder
from lmcli.engine.encoders.bert import names_under


def read(config: dict[str, Any]) -> EncoderConfig:
    fields = ConfigFields(config)
    names = names_under("roberta") | {"dense": "classifier.dense", "output": "classifier.out_proj"}
    read = EncoderConfig(**read_encoder(fields), names=names, head_activation="tanh")
    return replace(read, first_position=fields.get("pad_token_id", 1) + 1)
