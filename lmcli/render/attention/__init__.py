"""Attention as a picture: a page to look around in, an SVG of one map, or the numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lmcli.explanations import AttentionMap, AttentionMaps
from lmcli.text.printable import printable

FORMS = (".html", ".htm", ".svg", ".json")  # by the name of the file
NAMES = {"encoder": "the encoder", "decoder": "the decoder", "cross": "the decoder, at the encoder"}


@dataclass(frozen=True)
class View:
    """Which weights are looked at: of `part`, in one layer and head (from 0), None the mean over all."""

    part: str
    layer: int | None
    head: int | None

    def of(self, maps: AttentionMaps) -> AttentionMap:
        return next(each for each in maps.maps if each.part == self.part)

    def title(self, maps: AttentionMaps) -> str:
        """What is seen, in words."""
        found = self.of(maps)
        layer = "mean of all layers" if self.layer is None else f"layer {self.layer + 1} of {found.layers}"
        head = f"mean of {found.heads} heads" if self.head is None else f"head {self.head + 1} of {found.heads}"
        return f"Attention of {NAMES[self.part]}, {layer}, {head}"


def draw(maps: AttentionMaps, form: str, view: View) -> str:
    """The file of that form (one of FORMS); a page begins with `view`, an SVG shows it alone."""
    if form == ".svg":
        from lmcli.render.attention.picture import picture

        return picture(maps, view)
    if form == ".json":
        return json.dumps(_numbers(maps), ensure_ascii=False) + "\n"
    from lmcli.render.attention.page import page

    return page(maps, view)


def seen(token: str) -> str:
    """A token in which nothing is invisible."""
    return printable(token.replace("\n", "⏎").replace("\t", "⇥")).replace(" ", "·") or "∅"


def _numbers(maps: AttentionMaps) -> dict[str, object]:
    """Every weight with four digits behind the point: by layer, head, row and column."""
    parts = [
        {"part": each.part, "rows": each.rows, "columns": each.columns, "weights": _nested(each)} for each in maps.maps
    ]
    return {"checkpoint": maps.checkpoint, "text": maps.text, "written": maps.written, "maps": parts}


def _nested(found: AttentionMap) -> list[list[list[list[float]]]]:
    return [
        [[[round(weight, 4) for weight in row] for row in found.mean(layer, head)] for head in range(found.heads)]
        for layer in range(found.layers)
    ]
