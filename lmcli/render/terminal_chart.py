"""Charts in characters: curves in the dots of Braille, two by four in each character, or plainly in ASCII."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from lmcli.render.chart import Chart, Curve, Point, tick_labels, ticks

# The bits of a Braille character's dots (Unicode, block U+2800), by row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_SGR = ("36", "33", "35", "32", "34", "31")  # by Curve.color
_ROWS_A_TICK, _COLUMNS_A_TICK = 3, 14
_LEAST = 20  # columns of the frame, below which nothing can be seen


@dataclass(frozen=True)
class Symbols:
    """The characters of a drawing; `braille` where a cell has dots, else one character stands for all of them."""

    braille: bool
    vertical: str
    corner: str
    horizontal: str
    y_tick: str
    x_tick: str
    line: str
    dot: str
    mark: str


UNICODE = Symbols(True, "│", "└", "─", "┤", "┬", "⠤⠒", "●", "◆")
ASCII = Symbols(False, "|", "+", "-", "+", "+", "..", "o", "*")


def draw_chart(chart: Chart, columns: int, rows: int, symbols: Symbols = UNICODE, color: bool = False) -> list[str]:
    """The chart as lines of at most `columns`: its title with the curves' names, `rows` of frame, and the x axis.

    A curve that is pale elsewhere is left out, and so is a chart for which there is no room.
    """
    y_values = ticks(*chart.y_range, max(rows // _ROWS_A_TICK, 2))
    labels = tick_labels(y_values)
    margin = max(map(len, labels), default=0)
    width = columns - margin - 2
    if width < _LEAST:
        return []
    frame = _Frame(chart, width, rows, symbols)
    for curve in chart.curves:
        if curve.style != "faint":
            frame.draw(curve)
    beside = {frame.row(value): label for value, label in zip(y_values, labels, strict=True)}
    lines = [
        f"{beside.get(row, ''):>{margin}} {symbols.y_tick if row in beside else symbols.vertical}{line}"
        for row, line in enumerate(frame.lines(color))
    ]
    return [_title(chart, symbols, color), *lines, *_x_axis(chart, frame, margin, symbols)]


class _Frame:
    """A field of cells, each with a character or dots and the colour of the curve that came last."""

    def __init__(self, chart: Chart, columns: int, rows: int, symbols: Symbols) -> None:
        self.columns, self.rows, self._symbols = columns, rows, symbols
        self._x, self._y = chart.x_range, chart.y_range
        self._dots: dict[tuple[int, int], int] = {}
        self._characters: dict[tuple[int, int], str] = {}
        self._colors: dict[tuple[int, int], int] = {}

    def draw(self, curve: Curve) -> None:
        if curve.style == "line":
            for x, y in self._path(curve):
                cell = y // 4, x // 2
                self._dots[cell] = self._dots.get(cell, 0) | _DOTS[y % 4][x % 2]
                self._colors[cell] = curve.color
        else:
            for point in curve.points:
                x, y = self._place(point)
                self._characters[y // 4, x // 2] = self._symbols.dot if curve.style == "dots" else self._symbols.mark
                self._colors[y // 4, x // 2] = curve.color

    def row(self, value: float) -> int:
        return self._place((self._x[0], value))[1] // 4

    def column(self, value: float) -> int:
        return self._place((value, self._y[0]))[0] // 2

    def lines(self, color: bool) -> Iterator[str]:
        for row in range(self.rows):
            cells = [self._cell(row, column, color) for column in range(self.columns)]
            yield "".join(cells).rstrip()

    def _cell(self, row: int, column: int, color: bool) -> str:
        cell = row, column
        text = self._characters.get(cell)
        if text is None and cell in self._dots:
            text = chr(0x2800 + self._dots[cell]) if self._symbols.braille else self._symbols.line[0]
        return " " if text is None else paint(text, self._colors[cell] if color else None)

    def _path(self, curve: Curve) -> Iterator[tuple[int, int]]:
        """The dots of a curve, without gaps: what lies between two points is joined column by column."""
        places = [self._place(point) for point in curve.points]
        yield from places[:1]
        for (x0, y0), (x1, y1) in pairwise(places):
            length = max(abs(x1 - x0), abs(y1 - y0), 1)
            for i in range(1, length + 1):
                yield x0 + round((x1 - x0) * i / length), y0 + round((y1 - y0) * i / length)

    def _place(self, point: Point) -> tuple[int, int]:
        """The dot of a point, columns from the left and rows from above."""
        (left, right), (low, high) = self._x, self._y
        x = (point[0] - left) / (right - left) * (2 * self.columns - 1)
        y = (high - point[1]) / (high - low) * (4 * self.rows - 1)
        return round(min(max(x, 0), 2 * self.columns - 1)), round(min(max(y, 0), 4 * self.rows - 1))


def paint(text: str, color: int | None) -> str:
    return text if color is None else f"\x1b[{_SGR[color % len(_SGR)]}m{text}\x1b[0m"


def _title(chart: Chart, symbols: Symbols, color: bool) -> str:
    signs = {"line": symbols.line, "dots": symbols.dot, "mark": symbols.mark}
    names = [
        f"{paint(signs[curve.style], curve.color if color else None)} {curve.name}"
        for curve in chart.curves
        if curve.style in signs and curve.points
    ]
    return "   ".join([chart.title, *names])


def _x_axis(chart: Chart, frame: _Frame, margin: int, symbols: Symbols) -> list[str]:
    """The axis, and below it the numbers, each under its tick where there is room."""
    values = list(chart.x_labels) or ticks(*chart.x_range, max(frame.columns // _COLUMNS_A_TICK, 2))
    labels = list(chart.x_labels.values()) or tick_labels(values)
    axis, below = [symbols.horizontal] * frame.columns, ""
    for value, label in zip(values, labels, strict=True):
        column = frame.column(value)
        start = min(max(column - len(label) // 2, 0), frame.columns - len(label))
        if start > len(below) or not below:
            axis[column] = symbols.x_tick
            below += " " * (start - len(below)) + label
    name = chart.x if len(chart.x) <= margin + 1 else ""
    return [f"{'':>{margin}} {symbols.corner}{''.join(axis)}", f"{name:<{margin + 2}}{below}".rstrip()]
