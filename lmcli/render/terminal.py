"""Terminal rendering: progress bars, tables and colour; the only file that imports rich.

stdout and stderr are asked separately: an answer piped into a file still has its progress bar on the
terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as ProgressBar
from rich.table import Table

from lmcli.environment import Environment
from lmcli.render import Output
from lmcli.render.plain import PlainRenderer, cell
from lmcli.types import Event, Label, Progress, TaskResult

# C0 and C1 controls but tab and newline: a model's or a file's text must not drive the terminal.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLORS = {"positive": "green", "negative": "red", "neutral": "yellow"}


class TerminalRenderer(PlainRenderer):
    """At least one stream is a terminal."""

    def __init__(self, environment: Environment, output: Output) -> None:
        super().__init__(environment, output)
        variables = environment.variables
        dumb = variables.get("TERM") == "dumb"
        color = output.color and not variables.get("NO_COLOR") and not dumb
        self._answer = _console(self.stdout, color)
        self._aside = _console(self.stderr, color)
        self._animate = self.stderr.isatty() and not dumb and not output.quiet
        self._bar: ProgressBar | None = None

    def show(
        self, events: Iterable[Event], *, task: str, checkpoint: str, file: str | None = None, input: str | None = None
    ) -> TaskResult:
        try:
            return super().show(events, task=task, checkpoint=checkpoint, file=file, input=input)
        finally:
            self._end_bar()

    def report(self, event: Event) -> None:
        if isinstance(event, Progress):
            if self._animate:
                self._advance(event)
        else:
            super().report(event)

    @contextmanager
    def status(self, text: str) -> Iterator[None]:
        if not self._animate:
            yield
            return
        with self._aside.status(escape(text), spinner_style="dim"):
            yield

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
        if not self.stdout.isatty():
            super().table(rows, columns)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in columns.values():
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(escape(_printable(cell(row[key]))) for key in columns))
        self._answer.print(table)

    def fields(self, values: Mapping[str, Any]) -> None:
        if not self.stdout.isatty():
            super().fields(values)
            return
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for name, value in values.items():
            table.add_row(escape(name), escape(_printable(cell(value))))
        self._answer.print(table)

    def close(self) -> None:
        self._end_bar()

    def label(self, label: Label, file: str | None) -> str:
        if not self.stdout.isatty():
            return super().label(label, file)
        color = _COLORS.get(label.name, "cyan")
        with self._answer.capture() as capture:
            where = f"  [dim]{escape(_printable(file))}[/dim]" if file else ""
            self._answer.print(f"[bold {color}]{escape(label.name)}[/] {label.score:.0%}{where}")
        return capture.get()

    def write(self, text: str) -> None:
        if self._bar:
            self._end_bar()
        super().write(text)

    def line(self, text: str) -> None:
        if not self.stderr.isatty():
            super().line(text)
            return
        self._aside.print(f"[dim]{escape(_printable(text))}[/dim]", soft_wrap=True)

    def _advance(self, event: Progress) -> None:
        if self._bar is None:
            self._bar = ProgressBar(*_columns(event.unit), console=self._aside, transient=True)
            self._bar.add_task("", total=event.total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=event.done, total=event.total)
        if event.done >= event.total:
            self._end_bar()

    def _end_bar(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None


def _console(stream: TextIO, color: bool) -> Console:
    return Console(file=stream, no_color=not color, highlight=False, emoji=False)


def _columns(unit: str) -> tuple[ProgressColumn, ...]:
    if unit == "bytes":
        return BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    return BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn()


def _printable(text: str) -> str:
    return _CONTROLS.sub("", text)
