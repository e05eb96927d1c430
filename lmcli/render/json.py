"""JSON rendering: `--json` prints one object, `--jsonl` one a record, as soon as it is whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmcli.environment import Environment
from lmcli.errors import LmcliError
from lmcli.render import Output, Rows
from lmcli.render.chart import Chart
from lmcli.render.objects import failure, line, record
from lmcli.render.sheet import Sheet
from lmcli.render.terminal import TerminalRenderer
from lmcli.types import Event, Notice, Progress, TaskResult, TrainingStep, Validation


class JsonRenderer(TerminalRenderer):
    """Records as JSON on stdout; stderr is what it is without: text, with a bar where it is a terminal."""

    def __init__(self, environment: Environment, output: Output) -> None:
        super().__init__(environment, output)
        self._records: list[dict[str, Any]] = []

    def heading(self, name: str) -> None:
        pass  # Each object names its file.

    def show(
        self, events: Iterable[Event], *, task: str, checkpoint: str, file: str | None = None, input: str | None = None
    ) -> TaskResult:
        seen = []
        for event in events:
            if isinstance(event, Notice | Progress | TrainingStep | Validation):
                self.report(event)
            seen.append(event)
        result = TaskResult.fold(seen)
        self._add(record(result, task, checkpoint, file, input))
        return result

    def fail(
        self, error: LmcliError, *, task: str, checkpoint: str, file: str | None = None, input: str | None = None
    ) -> None:
        fields = {"task": task, "checkpoint": checkpoint, "error": failure(error)}
        self._add(fields | ({"file": file} if file else {}) | ({"input": input} if input is not None else {}))

    def sheet(self, form: str, columns: Sequence[str]) -> Sheet:
        return super().sheet("jsonl", columns) if self.output.json == "jsonl" else self

    def add(self, own: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """The sheet of --json: its records stand in the one object."""
        self._add({**own, **answer})

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
        if self.output.json == "jsonl":
            for row in rows:
                self._print(dict(row))
        else:
            self._print([dict(row) for row in rows])

    def fields(self, values: Mapping[str, Any]) -> None:
        self._add(dict(values))

    def record(
        self, values: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str],
        charts: Sequence[Chart] = (),
    ) -> None:  # fmt: skip
        self._add(dict(values))

    def tables(self, values: Mapping[str, Any], tables: Sequence[tuple[Rows, Mapping[str, str]]]) -> None:
        self._add(dict(values))

    def close(self, error: BaseException | None) -> None:
        super().close(error)
        if isinstance(error, LmcliError):
            error.finished = self._records  # One object holds both; the error boundary prints it.
        elif error is None and len(self._records) == 1:
            self._print(self._records[0])
        elif error is None and self._records:
            self._print({"results": self._records})

    def _add(self, fields: dict[str, Any]) -> None:
        if self.output.json == "jsonl":
            self._print(fields)
        else:
            self._records.append(fields)

    def _print(self, value: Any) -> None:
        self.write(line(value))
