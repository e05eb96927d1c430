"""Decoder families of our own, one file each, named after config.json's `model_type` and found by that name."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lmcli.engine.config import DecoderConfig, NotUnderstood

if TYPE_CHECKING:
    from lmcli.engine.families.llama import Decoder


def read_config(config: dict[str, Any]) -> DecoderConfig:
    """The dimensions in a config.json. Raises NotUnderstood, saying what, where any of it is not ours to compute."""
    model_type = str(config.get("model_type", ""))
    if not model_type.isidentifier() or model_type.startswith("_") or find_spec(f"{__name__}.{model_type}") is None:
        raise NotUnderstood(f"model_type={model_type!r}")
    read: DecoderConfig = _family(model_type).read(config)
    return read


def build(config: DecoderConfig) -> Decoder:
    """The family's decoder on the meta device: Llama's where it has none of its own."""
    decoder: Decoder = getattr(_family(config.model_type), "Decoder", _family("llama").Decoder)(config)
    return decoder


def _family(model_type: str) -> ModuleType:
    return import_module(f"{__name__}.{model_type}")
