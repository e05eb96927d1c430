"""JSON rendering: `--json` prints one object, `--jsonl` one a record, as soon as it is whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lmcli.environment import Environment
from lmcli.errors import LmcliError
from lmcli.render import Output
from lmcli.render.terminal import TerminalRenderer
from lmcli.types import Event, Notice, Progress, Sources, TaskResult


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
            if isinstance(event, Notice | Progress):
                self.report(event)
            seen.append(event)
        result = TaskResult.fold(seen)
        self._add(record(result, task, checkpoint, file, input))
        return result

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
        if self.output.json == "jsonl":
            for row in rows:
                self._print(dict(row))
        else:
            self._print([dict(row) for row in rows])

    def fields(self, values: Mapping[str, Any]) -> None:
        self._add(dict(values))

    def record(self, values: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
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


def line(value: Any) -> str:
    """`value` as a line of JSON, safe on a terminal."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    # JSON escapes the controls of ASCII; those above it must not reach a terminal either.
    return re.sub("[\x7f-\x9f]", lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def record(
    result: TaskResult, task: str, checkpoint: str, file: str | None = None, input: str | None = None
) -> dict[str, Any]:
    """The documented, stable fields of one result."""
    fields: dict[str, Any] = {"task": task, "checkpoint": checkpoint}
    if result.label:
        fields |= {"label": result.label.name, "score": result.label.score, "scores": result.label.scores}
    else:
        fields["text"] = result.text
    if result.sources:
        fields |= sources(result.sources)
    fields |= {"finish_reason": result.finish_reason, "usage": asdict(result.usage)}
    return fields | ({"file": file} if file else {}) | ({"input": input} if input is not None else {})


def sources(sources: Sources) -> dict[str, Any]:
    """What an answer rests on; `answers` and `no_answer` only of a checkpoint that marks them in the text."""
    fields: dict[str, Any] = {
        "question": sources.question,
        "quote": asdict(sources.quote) if sources.quote else None,
        "passages": [asdict(passage) for passage in sources.passages],
    }
    if sources.answers is not None:
        fields |= {"answers": [asdict(answer) for answer in sources.answers], "no_answer": sources.no_answer}
    return fields
