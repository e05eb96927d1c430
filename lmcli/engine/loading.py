"""Loading: which engine a checkpoint gets."""

from __future__ import annotations

import os
from collections.abc import Callable

from lmcli.engine import encoder_engine, torch_engine
from lmcli.engine.config import DecoderConfig, NotUnderstood
from lmcli.engine.device import place
from lmcli.engine.families import read_config
from lmcli.engine.files import read_json
from lmcli.engine.memory import memory_errors
from lmcli.types import Checkpoint, Engine, Event, LoadOptions, Notice


def load_engine(checkpoint: Checkpoint, options: LoadOptions, report: Callable[[Event], None]) -> Engine:
    """See lmcli.engine.load."""
    with memory_errors(checkpoint):
        if checkpoint.kind == "causal":
            try:
                config = _understand(checkpoint)
            except NotUnderstood as reason:
                report(_passed_over(checkpoint, "decoder", reason))
            else:
                return torch_engine.open_engine(checkpoint, config, place(checkpoint, options, report), options)
        elif checkpoint.kind == "classifier":
            try:
                understood = encoder_engine.understand(checkpoint)
            except NotUnderstood as reason:
                report(_passed_over(checkpoint, "encoder", reason))
            else:
                return encoder_engine.open_engine(checkpoint, understood, options, report)
        return _transformers(checkpoint, options, report)


def _understand(checkpoint: Checkpoint) -> DecoderConfig:
    if not (checkpoint.path / "tokenizer.json").is_file():
        raise NotUnderstood("a tokenizer without tokenizer.json")
    return read_config(read_json(checkpoint.path / "config.json"))


def _passed_over(checkpoint: Checkpoint, ours: str, reason: NotUnderstood) -> Notice:
    text = f"{checkpoint.name} runs on transformers: our {ours} does not know {reason}"
    return Notice(text, verbose=True)


def _transformers(checkpoint: Checkpoint, options: LoadOptions, report: Callable[[Event], None]) -> Engine:
    # The checkpoint is here: nothing that transformers imports may ask the hub about it, or report on it.
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    # Importing transformers takes seconds: only checkpoints that need it pay for it.
    from lmcli.engine.transformers_engine import open_engine

    return open_engine(checkpoint, options, report)
