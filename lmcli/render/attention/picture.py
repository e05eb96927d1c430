"""Attention as an SVG: one map, its tokens beside it and above it, readable in light and dark."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from html import escape

from lmcli.explanations import AttentionMaps
from lmcli.render.attention import View, seen

_CELL, _GAP, _FONT = 20, 8, 13  # pixels
_LEAST = 0.004  # of the strongest weight: what is paler cannot be seen
_STYLE = """
  .paper { fill: #ffffff } .ink { fill: #1b1f24 } .faint { fill: #5b6470 } .frame { fill: none; stroke: #c3c9d1 }
  .weight { fill: #2563eb }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #14171b } .ink { fill: #e8eaed } .faint { fill: #a2abb6 } .frame { stroke: #3a4149 }
    .weight { fill: #60a5fa }
  }
"""


def picture(maps: AttentionMaps, view: View) -> str:
    """The map of `view`: a line a token that looks, a column a token that is looked at, fuller where more."""
    found, title = view.of(maps), view.title(maps)
    rows, columns = [[seen(token) for token in tokens] for tokens in (found.rows, found.columns)]
    weights = found.mean(view.layer, view.head)
    left, top = 2 * _GAP + _widest(rows), 4 * _GAP + 2 * _FONT + _widest(columns)
    wide, high = _CELL * len(columns), _CELL * len(rows)
    width, height = max(left + wide, _GAP + _width(title)) + 2 * _GAP, top + high + 2 * _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="sans-serif" font-size="{_FONT}" role="img" aria-labelledby="t d">',
        f'<title id="t">{escape(title)}</title>',
        f'<desc id="d">{escape(_described(rows, columns, weights))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width:g}" height="{height:g}"/>',
        _text(title, _GAP, _GAP + _FONT, 'class="ink" font-weight="bold"'),
        _text(seen(maps.checkpoint), _GAP, _GAP + 2.3 * _FONT, 'class="faint"'),
        *_labels(rows, columns, left, top),
        *_cells(weights, left, top),
        f'<rect class="frame" x="{left:g}" y="{top:g}" width="{wide}" height="{high}"/>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _described(rows: Sequence[str], columns: Sequence[str], weights: Sequence[Sequence[float]]) -> str:
    """Where each token looks most, for who cannot see the picture."""
    strongest = [max(range(len(columns)), key=row.__getitem__) for row in weights]
    return "; ".join(
        f"{name} looks most at {columns[best]} ({row[best]:.0%})"
        for name, row, best in zip(rows, weights, strongest, strict=True)
    )


def _labels(rows: Sequence[str], columns: Sequence[str], left: float, top: float) -> Iterator[str]:
    for i, name in enumerate(rows):
        yield _text(name, left - _GAP, top + _CELL * (i + 0.5) + _FONT / 3, 'class="ink" text-anchor="end"')
    for i, name in enumerate(columns):
        x, y = left + _CELL * (i + 0.5) + _FONT / 3, top - _GAP
        yield _text(name, x, y, f'class="ink" transform="rotate(-90 {x:g} {y:g})"')


def _cells(weights: Sequence[Sequence[float]], left: float, top: float) -> Iterator[str]:
    most = max(map(max, weights)) or 1.0
    for r, row in enumerate(weights):
        for c, weight in enumerate(row):
            if weight >= _LEAST * most:
                yield (
                    f'<rect class="weight" x="{left + _CELL * c:g}" y="{top + _CELL * r:g}" width="{_CELL}" '
                    f'height="{_CELL}" fill-opacity="{weight / most:.3f}"><title>{weight:.1%}</title></rect>'
                )


def _text(words: str, x: float, y: float, attributes: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" {attributes}>{escape(words)}</text>'


def _widest(names: Sequence[str]) -> float:
    return max(map(_width, names))


def _width(text: str) -> float:
    """Pixels that a text takes, about: fonts differ, and Chinese signs are twice as wide."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return 0.72 * _FONT * (len(text) - wide) + 1.05 * _FONT * wide
