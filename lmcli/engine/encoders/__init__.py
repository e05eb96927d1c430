"""Encoder families of our own, one file each, named after config.json's `model_type` and found by that name."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lmcli.engine.config import NotUnderstood
from lmcli.engine.encoder import EncoderConfig


def read_config(config: dict[str, Any]) -> EncoderConfig:
    """The dimensions in a classifier's config.json. Raises NotUnderstood, saying what, where any of it is not ours to
    compute."""
    model_type = str(config.get("model_type", ""))
    name = f"{__name__}.{model_type.replace('-', '_')}"
    if not model_type.replace("-", "_").isidentifier() or model_type.startswith("_") or find_spec(name) is None:
        raise NotUnderstood(f"model_type={model_type!r}")
    read: EncoderConfig = import_module(name).read(config)
    return read
