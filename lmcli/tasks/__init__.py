"""Tasks: text in, events out. A task knows no model library and prints nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeGuard

from lmcli.errors import CheckpointError
from lmcli.types import CausalEngine, ClassifierEngine, Done, Engine, Event, Seq2SeqEngine, Usage


def is_causal(engine: Engine) -> TypeGuard[CausalEngine]:
    return engine.checkpoint.kind == "causal"


def is_seq2seq(engine: Engine) -> TypeGuard[Seq2SeqEngine]:
    return engine.checkpoint.kind == "seq2seq"


def is_classifier(engine: Engine) -> TypeGuard[ClassifierEngine]:
    return engine.checkpoint.kind == "classifier"


def refusal(engine: Engine, task: str) -> CheckpointError:
    """The error of a checkpoint whose kind cannot do `task`."""
    kinds = {"causal": "language model", "seq2seq": "encoder-decoder", "classifier": "classifier"}
    checkpoint = engine.checkpoint
    return CheckpointError(
        f"{checkpoint.name} is a {kinds[checkpoint.kind]}; it cannot do '{task}'",
        f"choose another checkpoint: lmcli {task} -m REF",
    )


def after(spent: Usage, events: Iterable[Event]) -> Iterator[Event]:
    """`events`, whose Done also counts what was spent before them."""
    for event in events:
        yield Done(event.finish_reason, spent + event.usage) if isinstance(event, Done) else event
