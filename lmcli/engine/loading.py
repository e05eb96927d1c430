"""Loading: which engine a checkpoint gets."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import cast

from lmcli.engine.config import NotUnderstood
from lmcli.engine.foreign_weights import check_libraries
from lmcli.engine.memory import memory_errors
from lmcli.engine.offline import stay_offline
from lmcli.errors import CheckpointError, UsageError
from lmcli.protocols import Engine
from lmcli.types import Checkpoint, Event, Kind, LoadOptions, Notice

# Modules by name, so that a checkpoint imports the engine of its own kind and not what the others need.
_OURS = {
    "causal": "torch_engine", "seq2seq": "seq2seq_engine", "classifier": "encoder_engine", "qa": "qa_engine",
}  # fmt: skip


def load_engine(checkpoint: Checkpoint, options: LoadOptions, report: Callable[[Event], None]) -> Engine:
    """See lmcli.engine.load."""
    if checkpoint.kind == "encoder":
        raise CheckpointError(
            f"{checkpoint.name} is an encoder without a head: it does nothing yet",
            f"teach it to classify: lmcli finetune --task classify -m {checkpoint.name} FILE -o NAME",
        )
    ours = our_engine(checkpoint.kind)
    if options.bits == 4 and checkpoint.kind != "causal":
        raise UsageError(f"{checkpoint.name} is no decoder, and only they can run in 4 bits", "use --bits 8")
    if options.draft and checkpoint.kind != "causal":
        raise UsageError(f"{checkpoint.name} is no decoder, and only they can use a draft", "leave out --draft")
    with memory_errors(checkpoint):
        try:
            understood = ours.understand(checkpoint)
            engine = ours.open_engine(checkpoint, understood, options, report)
        except NotUnderstood as reason:
            text = f"{checkpoint.name} runs on transformers: our engine does not know {reason}"
            report(Notice(text, verbose=True))
            if flag := "--bits" if options.bits else "--draft" if options.draft else "":
                raise UsageError(f"{text}, and {flag} works on our own alone", f"leave out {flag}") from reason
            return _transformers(checkpoint, options, report)
        if options.draft:
            from lmcli.engine.drafting import open_draft

            engine.draft = open_draft(engine, understood, options.draft, options, report)
        return cast("Engine", engine)


def our_engine(kind: Kind) -> ModuleType:
    """Our own engine for checkpoints of that kind, with `understand` and `open_engine`."""
    return import_module(f"lmcli.engine.{_OURS[kind]}")


def _transformers(checkpoint: Checkpoint, options: LoadOptions, report: Callable[[Event], None]) -> Engine:
    check_libraries(checkpoint)
    stay_offline()
    # Importing transformers takes seconds: only checkpoints that need it pay for it.
    from lmcli.engine.transformers_engine import open_engine

    return open_engine(checkpoint, options, report)
