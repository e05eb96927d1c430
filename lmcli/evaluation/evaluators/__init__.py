"""Evaluators: one file a task. Each runs the task that users run, through the same engines, and marks its answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from lmcli.evaluation.marks import Marked
from lmcli.protocols import Engine
from lmcli.types import Event


class Evaluator(Protocol):
    """A set of examples and the task to be measured by them.

    `task` is what `--task` names it, `opens` the task whose checkpoint is chosen where the user names none.
    """

    task: ClassVar[str]
    opens: ClassVar[str]

    def __len__(self) -> int:
        """How many examples there are."""

    def measure(self, engine: Engine, report: Callable[[Event], None]) -> Marked:
        """Answer all examples and mark the answers; `report` is told how far it is.

        Raises CheckpointError for a checkpoint whose kind cannot do the task, UsageError for one that does not know
        what the set asks for, and where no example could be answered the error of the first.
        """
