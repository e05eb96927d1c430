"""Families of our own, one file each, named after config.json's `model_type` and found by that name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lmcli.engine.config import DecoderConfig, NotUnderstood

if TYPE_CHECKING:
    from lmcli.engine.families.llama import Decoder
    from lmcli.engine.seq2seq_config import EncoderDecoderConfig


def read_config(config: dict[str, Any]) -> DecoderConfig:
    """The dimensions in a decoder's config.json. Raises NotUnderstood, saying what, where any of it is not ours to
    compute."""
    read: DecoderConfig = _reader(config, "read")(config)
    return read


def read_seq2seq_config(config: dict[str, Any]) -> EncoderDecoderConfig:
    """The same for an encoder-decoder's."""
    read: EncoderDecoderConfig = _reader(config, "read_seq2seq")(config)
    return read


def build(config: DecoderConfig) -> Decoder:
    """The family's decoder on the meta device: Llama's where it has none of its own."""
    decoder: Decoder = getattr(_family(config.model_type), "Decoder", _family("llama").Decoder)(config)
    return decoder


def _reader(config: dict[str, Any], name: str) -> Callable[[dict[str, Any]], Any]:
    """The function `name` of the family that a config names."""
    model_type = str(config.get("model_type", ""))
    if not model_type.isidentifier() or model_type.startswith("_") or find_spec(f"{__name__}.{model_type}") is None:
        raise NotUnderstood(f"model_type={model_type!r}")
    reader: Callable[[dict[str, Any]], Any] | None = getattr(_family(model_type), name, None)
    if reader is None:
        raise NotUnderstood(f"model_type={model_type!r} as this kind of model")
    return reader


def _family(model_type: str) -> ModuleType:
    return import_module(f"{__name__}.{model_type}")
