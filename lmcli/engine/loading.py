"""Loading: which engine a checkpoint gets."""

from __future__ import annotations

from collections.abc import Callable

from lmcli.engine import seq2seq_engine, torch_engine
from lmcli.engine.config import DecoderConfig, NotUnderstood
from lmcli.engine.device import place
from lmcli.engine.families import read_config
from lmcli.engine.files import read_json
from lmcli.engine.memory import memory_errors
from lmcli.engine.offline import stay_offline
from lmcli.types import Checkpoint, Engine, Event, Notice


def load_engine(
    checkpoint: Checkpoint, device: str, dtype: str, trust_remote_code: bool, report: Callable[[Event], None]
) -> Engine:
    """See lmcli.engine.load."""
    with memory_errors(checkpoint):
        if checkpoint.kind == "causal":
            try:
                config = _understand(checkpoint)
            except NotUnderstood as reason:
                text = f"{checkpoint.name} runs on transformers: our decoder does not know {reason}"
                report(Notice(text, verbose=True))
            else:
                return torch_engine.open_engine(checkpoint, config, place(checkpoint, device, dtype, report))
        if checkpoint.kind == "seq2seq":
            try:
                understood = seq2seq_engine.understand(checkpoint)
            except NotUnderstood as reason:
                text = f"{checkpoint.name} runs on transformers: our encoder-decoder does not know {reason}"
                report(Notice(text, verbose=True))
            else:
                return seq2seq_engine.open_engine(checkpoint, *understood, device, dtype, report)
        return _transformers(checkpoint, device, dtype, trust_remote_code, report)


def _understand(checkpoint: Checkpoint) -> DecoderConfig:
    if not (checkpoint.path / "tokenizer.json").is_file():
        raise NotUnderstood("a tokenizer without tokenizer.json")
    return read_config(read_json(checkpoint.path / "config.json"))


def _transformers(
    checkpoint: Checkpoint, device: str, dtype: str, trust_remote_code: bool, report: Callable[[Event], None]
) -> Engine:
    stay_offline()
    # Importing transformers takes seconds: only checkpoints that need it pay for it.
    from lmcli.engine.transformers_engine import open_engine

    return open_engine(checkpoint, device, dtype, trust_remote_code, report)
