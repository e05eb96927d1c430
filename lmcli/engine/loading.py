"""Loading: which engine a checkpoint gets."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from lmcli.engine import encoder_engine, seq2seq_engine, torch_engine
from lmcli.engine.config import NotUnderstood
from lmcli.engine.foreign_weights import check_libraries
from lmcli.engine.memory import memory_errors
from lmcli.engine.offline import stay_offline
from lmcli.errors import UsageError
from lmcli.types import Checkpoint, Engine, Event, LoadOptions, Notice

_OURS = {"causal": torch_engine, "seq2seq": seq2seq_engine, "classifier": encoder_engine}


def load_engine(checkpoint: Checkpoint, options: LoadOptions, report: Callable[[Event], None]) -> Engine:
    """See lmcli.engine.load."""
    ours = _OURS[checkpoint.kind]
    if options.bits == 4 and checkpoint.kind != "causal":
        raise UsageError(f"{checkpoint.name} is no decoder, and only they can run in 4 bits", "use --bits 8")
    with memory_errors(checkpoint):
        try:
            understood = ours.understand(checkpoint)
        except NotUnderstood as reason:
            text = f"{checkpoint.name} runs on transformers: our engine does not know {reason}"
            report(Notice(text, verbose=True))
            if options.bits:
                raise UsageError(f"{text}, and --bits works on our own alone", "leave out --bits") from reason
            return _transformers(checkpoint, options, report)
        engine: Engine = ours.open_engine(checkpoint, understood, options, report)
        return engine


def process_start() -> float:
    """When this process began, in seconds since 1970."""
    began: float = psutil.Process().create_time()
    return began


def _transformers(checkpoint: Checkpoint, options: LoadOptions, report: Callable[[Event], None]) -> Engine:
    check_libraries(checkpoint)
    stay_offline()
    # Importing transformers takes seconds: only checkpoints that need it pay for it.
    from lmcli.engine.transformers_engine import open_engine

    return open_engine(checkpoint, options, report)
