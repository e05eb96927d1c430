"""Charts as SVG: one picture, readable as text, that needs no library to draw and none to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from lmcli.render.chart import Chart, Curve, Point, tick_labels, ticks

WIDTH = 760
COLORS = ("#2563eb", "#d97706", "#059669", "#7c3aed", "#b91c1c", "#6b7280")  # by Curve.color
_AXIS, _GRID, _PALE = "#9ca3af", "#e5e7eb", "0.3"
_LINE_HEIGHT = 13
_FREE = 0.04  # of the height, above and below the curves
_MOST = 800  # points of a curve: more are no more to be seen


@dataclass(frozen=True)
class Frame:
    """Where a chart lies in its picture, in pixels: what is left free beside the curves, and its height with its title
    and its axis. The curves' names stand on the right, where each ends."""

    left: int = 60
    right: int = 110
    height: int = 260
    title: int = 34
    axis: int = 30


def picture(title: str, parts: Sequence[str], height: float) -> str:
    """Parts drawn below each other, on white; `title` is what a reader that shows no pictures says."""
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" '
        f'height="{height:g}" font-family="sans-serif" font-size="12" role="img">\n<title>{escape(title)}</title>\n'
        f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>\n'
    )
    return opening + "".join(parts) + "</svg>\n"


def charts_picture(title: str, charts: Sequence[Chart], frame: Frame = Frame()) -> str:
    """The charts below each other."""
    parts = [draw_chart(chart, 8 + i * frame.height, frame) for i, chart in enumerate(charts)]
    return picture(title, parts, 16 + len(charts) * frame.height)


def draw_chart(chart: Chart, top: float, frame: Frame = Frame()) -> str:
    """A chart's part of a picture, from `top` downwards."""
    scale = _Scale(chart, top, frame)
    lines = [text(12, top + 20, chart.title, "font-weight='bold'"), *_axes(chart, scale)]
    for curve in chart.curves:
        lines += _curve(curve, [scale.place(point) for point in _seen(curve.points)])
    return "\n".join([*lines, *_names(chart, scale)]) + "\n"


def text(x: float, y: float, words: str, attributes: str = "") -> str:
    """Words on a line whose foot is at `y`."""
    return f"<text x='{x:g}' y='{y:g}' {attributes}>{escape(words)}</text>"


class _Scale:
    """Turns points into pixels."""

    def __init__(self, chart: Chart, top: float, frame: Frame) -> None:
        self.left, self.right = float(frame.left), float(WIDTH - frame.right)
        self.top, self.bottom = top + frame.title, top + frame.height - frame.axis
        low, high = chart.y_range
        free = _FREE * (high - low)
        self._x, self._y = chart.x_range, (low if chart.from_zero else low - free, high + free)

    def place(self, point: Point) -> Point:
        (left, right), (low, high) = self._x, self._y
        x = self.left + (point[0] - left) / (right - left) * (self.right - self.left)
        y = self.bottom - (point[1] - low) / (high - low) * (self.bottom - self.top)
        return x, min(max(y, self.top), self.bottom)  # A pale curve may leap out of the frame.


def _axes(chart: Chart, scale: _Scale) -> list[str]:
    x_values = list(chart.x_labels) or ticks(*chart.x_range, 8)
    x_labels = list(chart.x_labels.values()) or tick_labels(x_values)
    y_values = ticks(*chart.y_range, 5)
    lines = []
    for value, label in zip(y_values, tick_labels(y_values), strict=True):
        _, y = scale.place((chart.x_range[0], value))
        lines.append(f"<path d='M{scale.left:g} {y:.1f}H{scale.right:g}' stroke='{_GRID}'/>")
        lines.append(text(scale.left - 8, round(y + 4, 1), label, "text-anchor='end'"))
    for value, label in zip(x_values, x_labels, strict=True):
        x, _ = scale.place((value, chart.y_range[0]))
        lines.append(text(round(x, 1), scale.bottom + 18, label, "text-anchor='middle'"))
    frame = f"M{scale.left:g} {scale.top:g}V{scale.bottom:g}H{scale.right:g}"
    lines.append(f"<path d='{frame}' stroke='{_AXIS}' fill='none'/>")
    if chart.x:
        lines.append(text(scale.right + 24, scale.bottom + 18, chart.x))
    return lines


def _seen(points: Sequence[Point]) -> Sequence[Point]:
    """Each so manieth of many points, and the last."""
    every = -(-len(points) // _MOST)
    return points if every <= 1 else [*points[:-1:every], points[-1]]


def _curve(curve: Curve, places: Sequence[Point]) -> list[str]:
    color = COLORS[curve.color % len(COLORS)]
    if curve.style == "mark":
        return [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='7' stroke='{color}' stroke-width='2' fill='none'/>"
                for x, y in places]  # fmt: skip
    pale = f" stroke-opacity='{_PALE}'" if curve.style == "faint" else ""
    width = "1" if curve.style == "faint" else "2"
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    lines = [f"<polyline points='{path}' stroke='{color}' stroke-width='{width}'{pale} fill='none'/>"]
    if curve.style == "dots":
        lines += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{color}'/>" for x, y in places]
    return lines


def _names(chart: Chart, scale: _Scale) -> list[str]:
    """Each curve's name at its end, none written over another; a mark's beside it."""
    lines: list[str] = []
    taken: list[float] = []
    for curve in sorted((c for c in chart.curves if c.points and c.style != "faint"), key=lambda c: c.style == "mark"):
        x, y = scale.place(curve.points[-1])
        color = f"fill='{COLORS[curve.color % len(COLORS)]}'"
        if curve.style == "mark":
            lines.append(text(round(x, 1), round(y - 11, 1), curve.name, f"{color} text-anchor='middle'"))
            continue
        y += 4
        while any(abs(y - other) < _LINE_HEIGHT for other in taken):
            y += _LINE_HEIGHT
        taken.append(y)
        lines.append(text(round(x + 8, 1), round(y, 1), curve.name, color))
    return lines
