"""What commands that label texts share: --labels as they are read, --fail-on, and the count of each label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

fail_on_option = click.option("--fail-on", metavar="LABEL", multiple=True,
                              help="End with exit code 1 if a text has LABEL; may be given several times.")  # fmt: skip
explain_option = click.option("--explain", is_flag=True, help="Mark the words that carry the label.")


class Labelling(Protocol):
    """A task that labels."""

    name: ClassVar[str]
    answer: ClassVar[str]

    def run(self, engine: Any, text: str) -> Iterator[Any]: ...

    def run_many(self, engine: Any, texts: Iterable[str]) -> Iterator[Iterator[Any]]: ...

    def known(self, engine: Any) -> tuple[str, ...]: ...


def label_each(task: Labelling, engine: Any, documents: Any, renderer: Any, fail_on: Sequence[str]) -> int:
    """Label each document, then tell of several how many have each label; the exit code.

    Raises UsageError where `fail_on` names a label that no text can have, before any is labelled.
    """
    from lmcli.commands._show import show_each
    from lmcli.errors import UsageError

    known = task.known(engine)
    if unknown := [label for label in fail_on if label not in known]:
        raise UsageError(f"no text is given the label '{unknown[0]}'", f"the labels are {', '.join(known)}")
    counted = _Counted(task, known)
    code = show_each(counted, engine, documents, renderer)  # type: ignore[arg-type]
    if counted.texts > 1:
        renderer.tally(dict(counted.counts), counted.texts)
    return 1 if code == 0 and any(counted.counts[label] for label in fail_on) else code


def read_labels(labels: str | None, file: str | None) -> dict[str, str]:
    """Labels and what they stand for: `LABEL,LABEL`, or a file with a label a line and perhaps a tab and a description.

    Raises UsageError for one label given twice and where both are given.
    """
    from lmcli.errors import UsageError

    if labels is not None and file is not None:
        raise UsageError("--labels and --labels-file exclude each other", "name the labels once")
    if file is not None:
        from lmcli.text.documents import read_file

        lines = [line.partition("\t") for line in read_file(file).text.splitlines() if line.strip()]
        named = [(label.strip(), described.strip() or label.strip()) for label, _, described in lines]
    else:
        named = [(label.strip(), label.strip()) for label in (labels or "").split(",") if label.strip()]
    twice = [label for label, count in Counter(label for label, _ in named).items() if count > 1]
    if twice:
        raise UsageError(f"the label '{twice[0]}' is named twice", "name each label once")
    if not named and (labels is not None or file is not None):
        raise UsageError(f"{file or '--labels'} names no label", "name some: --labels spam,ham")
    return dict(named)


class _Counted:
    """A task whose labels are counted as they go by."""

    def __init__(self, task: Labelling, known: Sequence[str]) -> None:
        self.name, self.answer = task.name, task.answer
        self.counts: dict[str, int] = dict.fromkeys(known, 0)
        self.texts = 0
        self._task = task

    def run(self, engine: Any, text: str) -> Iterator[Any]:
        return next(self.run_many(engine, [text]))

    def run_many(self, engine: Any, texts: Iterable[str]) -> Iterator[Iterator[Any]]:
        return map(self._count, self._task.run_many(engine, texts))

    def _count(self, events: Iterator[Any]) -> Iterator[Any]:
        from lmcli.types import Label

        for event in events:
            if isinstance(event, Label):
                self.texts += 1
                for name in event.names:
                    self.counts[name] = self.counts.get(name, 0) + 1
            yield event
