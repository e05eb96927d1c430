"""Loading: which engine a checkpoint gets, and running out of memory told as such."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lmcli.engine import torch_engine
from lmcli.engine.config import DecoderConfig, NotUnderstood
from lmcli.engine.device import place
from lmcli.engine.families import read_config
from lmcli.engine.tokenizer import read_json
from lmcli.errors import OutOfMemory
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
                report(
                    Notice(
                        f"{checkpoint.name} runs on transformers: our decoder does not know {reason}",
                        verbose=True,
                    )
                )
            else:
                return torch_engine.open_engine(checkpoint, config, place(checkpoint, device, dtype, report))
        return _transformers(checkpoint, device, dtype, trust_remote_code, report)


@contextmanager
def memory_errors(checkpoint: Checkpoint) -> Iterator[None]:
    """Turn the allocators' errors into OutOfMemory."""
    try:
        yield
    except MemoryError as error:
        raise _out_of_memory(checkpoint) from error
    except RuntimeError as error:
        # torch's CPU allocator raises a plain RuntimeError, the GPU's a subclass of it.
        if "out of memory" not in str(error) and "not enough memory" not in str(error):
            raise
        raise _out_of_memory(checkpoint) from error


def _understand(checkpoint: Checkpoint) -> DecoderConfig:
    if not (checkpoint.path / "tokenizer.json").is_file():
        raise NotUnderstood("a tokenizer without tokenizer.json")
    return read_config(read_json(checkpoint.path / "config.json"))


def _transformers(
    checkpoint: Checkpoint, device: str, dtype: str, trust_remote_code: bool, report: Callable[[Event], None]
) -> Engine:
    # The checkpoint is here: nothing that transformers imports may ask the hub about it, or report on it.
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    # Importing transformers takes seconds: only checkpoints that need it pay for it.
    from lmcli.engine.transformers_engine import open_engine

    return open_engine(checkpoint, device, dtype, trust_remote_code, report)


def _out_of_memory(checkpoint: Checkpoint) -> OutOfMemory:
    return OutOfMemory(f"{checkpoint.name} does not fit into memory", "choose a smaller checkpoint: lmcli list --all")
