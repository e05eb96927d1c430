"""Tasks: text in, events out. A task knows no model library and prints nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeGuard

from lmcli.errors import CheckpointError, LmcliError
from lmcli.protocols import CausalEngine, ClassifierEngine, Engine, QAEngine, Seq2SeqEngine
from lmcli.types import Chunk, Done, Event, Notice, Prompt, Reasoning, SamplingParams, TaskResult, Usage


def is_causal(engine: Engine) -> TypeGuard[CausalEngine]:
    return engine.checkpoint.kind == "causal"


def is_seq2seq(engine: Engine) -> TypeGuard[Seq2SeqEngine]:
    return engine.checkpoint.kind == "seq2seq"


def is_classifier(engine: Engine) -> TypeGuard[ClassifierEngine]:
    return engine.checkpoint.kind == "classifier"


def is_qa(engine: Engine) -> TypeGuard[QAEngine]:
    return engine.checkpoint.kind == "qa"


def refusal(engine: Engine, task: str) -> CheckpointError:
    """The error of a checkpoint whose kind cannot do `task`."""
    kinds = {
        "causal": "language model", "seq2seq": "encoder-decoder", "classifier": "classifier",
        "qa": "checkpoint that marks answers in a text",
    }  # fmt: skip
    checkpoint = engine.checkpoint
    return CheckpointError(
        f"{checkpoint.name} is a {kinds[checkpoint.kind]}; it cannot do '{task}'",
        f"choose another checkpoint: lmcli {task} -m REF",
    )


def results(engine: CausalEngine, prompts: Sequence[Prompt], params: Sequence[SamplingParams]) -> Iterator[TaskResult]:
    """What prompts that need nothing of one another came to: in their order, each as soon as those before it are done.

    They are worked side by side, so that the time to the last is much shorter.
    """
    events: list[list[Event]] = [[] for _ in prompts]
    shown = 0
    for index, event in engine.stream_many(prompts, params):
        events[index].append(event)
        while shown < len(events) and events[shown] and isinstance(events[shown][-1], Done):
            yield TaskResult.fold(events[shown])
            events[shown].clear()
            shown += 1


def after(spent: Usage, events: Iterable[Event]) -> Iterator[Event]:
    """`events`, whose Done also counts what was spent before them."""
    for event in events:
        yield Done(event.finish_reason, spent + event.usage) if isinstance(event, Done) else event


def with_ending(engine: CausalEngine, events: Iterable[Event], asked: int | None) -> Iterator[Event]:
    """`events` and, before Done, a Notice of an answer that was cut, unless at the very `asked` tokens."""
    answered = thought = False
    for event in events:
        if isinstance(event, Done) and (said := _cut(engine, event, asked, thought and not answered)):
            yield Notice(said)
        answered = answered or (isinstance(event, Chunk) and bool(event.text.strip()))
        thought = thought or isinstance(event, Reasoning)
        yield event


def check_whole(engine: Engine, result: TaskResult, params: SamplingParams) -> None:
    """Raises LmcliError where an answer that was to follow a grammar ended before it was whole."""
    if params.grammar is None or result.finish_reason != "length":
        return
    tokens, context = result.usage.completion_tokens, engine.context_length
    full = result.usage.prompt_tokens + tokens >= context
    raise LmcliError(
        f"the answer was cut after {tokens} tokens: it does not follow the {_GRAMMARS[params.grammar.kind]} to its end",
        f"the context of {context} tokens is full: shorten the prompt" if full else "--max-tokens allows more",
    )


_GRAMMARS = {"json": "schema", "regex": "pattern", "lark": "grammar"}


def _cut(engine: CausalEngine, end: Done, asked: int | None, thinking: bool) -> str:
    tokens, context = end.usage.completion_tokens, engine.context_length
    full = end.usage.prompt_tokens + tokens >= context
    way_out = f"the context of {context} tokens is full" if full else "--max-tokens allows more"
    if thinking:
        cut = end.finish_reason == "length"
        return "the answer ended while the model was still thinking" + (f"; {way_out}" if cut else "")
    if end.finish_reason != "length" or tokens == asked:
        return ""
    return f"the answer ended after {tokens} tokens; {way_out}"
