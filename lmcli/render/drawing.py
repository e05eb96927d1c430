"""Tables, labels and progress bars on a terminal; the only file that imports rich."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
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

from lmcli.explanations import Explanation
from lmcli.render.pace import Pace
from lmcli.render.plain import heaviest, shortened
from lmcli.text.printable import printable
from lmcli.types import Label, Progress

_REDRAW_SECONDS = 0.1
_COLORS = {"positive": "green", "negative": "red", "neutral": "yellow"}
_FAINT, _HEAVY = 0.1, 0.5  # of the heaviest word's weight
_BAR, _WIDEST = 30, 24  # columns


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
    """The labels in their colours, their probabilities, and what they belong to; of several texts in columns."""
    line = Text()
    for name in label.names:
        line.append(f"{', ' if line else ''}{printable(name)}", f"bold {_color(name)}")
        line.append(f" {label.scores[name]:.0%}" if label.holding else "")
    if not label.names:
        line.append("-", "dim")
    if belongs_to:
        line.append(" " * max(_widest(label) - line.cell_len, 0))
    line.append("" if label.holding else f" {label.score:>4.0%}" if belongs_to else f" {label.score:.0%}")
    if belongs_to:
        line.append(f"  {printable(belongs_to)}", style="dim")
    _console(stream, color).print(line, soft_wrap=True)


def draw_explanation(stream: TextIO, explanation: Explanation) -> None:
    """The text, its words green where they speak for the label and red where against it, the heavy ones bold."""
    text, most = explanation.text, max((abs(word.weight) for word in explanation.words), default=0.0)
    line, end = Text("  "), 0
    for word in explanation.words:
        share = abs(word.weight) / most if most else 0.0
        line.append(printable(text[end : word.start]))
        style = "dim" if share < _FAINT else "green" if word.weight > 0 else "red"
        line.append(printable(text[word.start : word.end]), style=f"bold {style}" if share >= _HEAVY else style)
        end = word.end
    line.append(printable(text[end:]))
    _console(stream, True).print(line, soft_wrap=True)


def draw_scores(stream: TextIO, color: bool, scores: Mapping[str, float]) -> None:
    """Every label with its probability and a bar, a line each."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, score in scores.items():
        bar = Text("█" * round(_BAR * score), style=_color(name))
        table.add_row(Text(f"  {printable(name)}"), Text(f"{score:.1%}", justify="right"), bar)
    _console(stream, color).print(table)


def draw_weights(stream: TextIO, color: bool, explanation: Explanation) -> None:
    """The heaviest words with their weights, a line each, a bar green for the label and red against it."""
    words = heaviest(explanation)
    most = max((abs(word.weight) for word in words), default=0.0) or 1.0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("  WORD", "WEIGHT", f"FOR {printable(explanation.label)}"):
        table.add_column(heading, justify="right" if heading == "WEIGHT" else "left")
    for word in words:
        style = "green" if word.weight > 0 else "red"
        bar = Text("█" * round(_BAR / 2 * abs(word.weight) / most), style=style)
        table.add_row(Text(f"  {printable(shortened(word.text))}"), f"{word.weight:+.3f}", bar)
    _console(stream, color).print(table)


def draw_tally(stream: TextIO, color: bool, counts: Mapping[str, int], texts: int) -> None:
    """A label a line: how many texts have it, their share, and a bar."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for label, count in counts.items():
        bar = Text("█" * max(round(_BAR * count / texts), int(count > 0)), style=_color(label))
        table.add_row(Text(printable(label)), Text(f"{count:,}", justify="right"), f"{count / texts:.0%}", bar)
    _console(stream, color).print(table)


def _widest(label: Label) -> int:
    """Columns for the name of any of the labels, so that texts stand below each other."""
    return min(max(Text(printable(name)).cell_len for name in label.scores), _WIDEST) + 5 * bool(label.holding)


def _color(label: str) -> str:
    return _COLORS.get(label, "cyan")


def _console(stream: TextIO, color: bool) -> Console:
    return Console(file=stream, color_system="auto" if color else None, highlight=False, emoji=False)


def _columns(unit: str) -> tuple[ProgressColumn, ...]:
    if unit == "records":
        return BarColumn(), TextColumn("{task.description}")
    if unit == "bytes":
        return BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    return BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn()
