"""Attention as a page: one HTML file that asks nothing of the network, with a map, its controls and all heads."""

from __future__ import annotations

import base64
import json
from html import escape
from pathlib import Path
from typing import Any

from lmcli.explanations import AttentionMap, AttentionMaps
from lmcli.render.attention import NAMES, View, seen
from lmcli.text.printable import printable

_TEMPLATE = Path(__file__).with_name("page.html")


def page(maps: AttentionMaps, view: View) -> str:
    """The page, beginning with `view`. What the text or the model says is data in it, never markup."""
    data = {"view": vars(view), "maps": [_data(each) for each in maps.maps]}
    fields = {
        "TITLE": escape(f"Attention of {maps.checkpoint}"), "TEXT": escape(printable(maps.text)),
        "WRITTEN": "" if maps.written is None else f'<p class="text">{escape(printable(maps.written))}</p>',
        "DATA": _script_safe(data),
    }  # fmt: skip
    # One pass: what stands in a field is never taken for the name of another.
    pieces = _TEMPLATE.read_text(encoding="utf-8").split("%%")
    return "".join(fields[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _data(found: AttentionMap) -> dict[str, Any]:
    """A byte for a weight: a map of 30 layers and 64 tokens is then a megabyte and a half."""
    levels = bytes(min(round(255 * weight), 255) for weight in found.weights)
    return {
        "part": found.part, "name": NAMES[found.part], "layers": found.layers, "heads": found.heads,
        "rows": [seen(token) for token in found.rows], "columns": [seen(token) for token in found.columns],
        "weights": base64.b64encode(levels).decode(),
    }  # fmt: skip


def _script_safe(value: Any) -> str:
    """JSON that ends no script element, whatever its strings hold."""
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
