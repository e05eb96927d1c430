"""Running: a task's answers to all examples of a set, with how far it is; a text that fails is told and passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lmcli.data.examples import Example
from lmcli.errors import OF_ONE_TEXT, LmcliError
from lmcli.protocols import ClassifierEngine
from lmcli.types import Event, Notice, Progress, TaskResult

Report = Callable[[Event], None]
Item = TypeVar("Item")
_BATCH = 64  # texts, or pairs of them, in one call


@dataclass(frozen=True)
class Answer:
    """What a task made of one example, or why it made nothing."""

    result: TaskResult
    error: LmcliError | None = None

    @property
    def reason(self) -> str | None:
        return self.error.message if self.error else None


def answers(examples: Sequence[Example], runs: Iterable[Iterator[Event]], report: Report) -> list[Answer]:
    """The answer to each example, whose events are the next of `runs`.

    Raises the first error where there is no answer at all: then it is not the texts that are to blame.
    """
    found: list[Answer] = []
    for example, events in zip(examples, tracked(runs, len(examples), "texts", report), strict=True):
        try:
            found.append(Answer(TaskResult.fold(_told(example, events, report))))
        except OF_ONE_TEXT as error:
            report(Notice(f"{example.place}: {error.message}"))
            found.append(Answer(TaskResult(), error))
    check(found)
    return found


def tracked(items: Iterable[Item], total: int, unit: str, report: Report) -> Iterator[Item]:
    """`items`, and after the work on each how far it is."""
    report(Progress(0, 0, unit, 0.0))
    for done, item in enumerate(items, 1):
        yield item
        report(Progress(done, 0, unit, done / total))


def outputs(engine: ClassifierEngine, examples: Sequence[Example]) -> Iterator[dict[str, float]]:
    """What a classifier's head gives each text, or each pair of texts, by its labels."""
    paired = any(example.second is not None for example in examples)
    for first in range(0, len(examples), _BATCH):
        some = examples[first : first + _BATCH]
        seconds = [example.second or "" for example in some] if paired else None
        yield from engine.logits([example.text for example in some], seconds)


def check(found: Sequence[Answer]) -> None:
    """Raises the first error where all failed."""
    errors = [answer.error for answer in found if answer.error]
    if errors and len(errors) == len(found):
        raise errors[0]


def _told(example: Example, events: Iterator[Event], report: Report) -> Iterator[Event]:
    """The events that are the answer; what there is to say of one text is for those who ask for more."""
    for event in events:
        if isinstance(event, Notice):
            report(Notice(f"{example.place}: {event.text}", verbose=True))
        else:
            yield event
