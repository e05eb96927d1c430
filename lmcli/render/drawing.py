"""Tables, labels and progress bars on a terminal; the only file that imports rich."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from lmcli.render.pace import Pace
from lmcli.text.printable import printable
from lmcli.types import Label, Progress

_REDRAW_SECONDS = 0.1
_COLORS = {"positive": "green", "negative": "red", "neutral": "yellow"}


class Bar:
    """A progress bar that takes itself away when it is ended."""

    def __init__(self, stream: TextIO, color: bool, unit: str) -> None:
        self._bar = RichProgress(*_columns(unit), console=_console(stream, color), transient=True)
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def update(self, progress: Progress) -> None:
        self._bar.update(self._task, completed=progress.done, total=progress.total)

    def end(self) -> None:
        self._bar.stop()


class RecordBar(Bar):
    """A progress bar of records: how many, how fast, and how long the rest will take."""

    def __init__(self, stream: TextIO, color: bool) -> None:
        super().__init__(stream, color, "records")
        self._pace, self._drawn = Pace(), 0.0

    def update(self, progress: Progress) -> None:
        line = self._pace.line(progress)
        if time.monotonic() - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = time.monotonic()
        total = None if progress.share is None else 1.0
        self._bar.update(self._task, completed=progress.share or 0.0, total=total, description=line)


def draw_table(stream: TextIO, color: bool, headings: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they need to be, under bold headings."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, heading in enumerate(headings):
        # A name that is cut cannot be typed.
        table.add_column(heading, overflow="fold", no_wrap=column == 0)
    for row in rows:
        table.add_row(*map(Text, row))
    _console(stream, color).print(table)


def draw_fields(stream: TextIO, color: bool, fields: Iterable[tuple[str, str]]) -> None:
    """A name and its value a line."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in fields:
        table.add_row(Text(name), Text(value))
    _console(stream, color).print(table)


def draw_label(stream: TextIO, color: bool, label: Label, belongs_to: str | None) -> None:
    """The label in its colour, its probability, and what it belongs to."""
    line = Text.assemble((printable(label.name), f"bold {_COLORS.get(label.name, 'cyan')}"), f" {label.score:.0%}")
    if belongs_to:
        line.append(f"  {printable(belongs_to)}", style="dim")
    _console(stream, color).print(line, soft_wrap=True)


def _console(stream: TextIO, color: bool) -> Console:
    return Console(file=stream, color_system="auto" if color else None, highlight=False, emoji=False)


def _columns(unit: str) -> tuple[ProgressColumn, ...]:
    if unit == "records":
        return BarColumn(), TextColumn("{task.description}")
    if unit == "bytes":
        return BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    return BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn()
