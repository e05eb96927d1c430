"""What `lmcli explain attention` asks for, and how what it found is told and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcli.errors import LmcliError, UsageError
from lmcli.explanations import AttentionMaps, AttentionWish
from lmcli.render.attention import FORMS, View, draw, seen
from lmcli.render.choices import percent
from lmcli.types import Checkpoint

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer

COLUMNS = {"token": "TOKEN", "looks": "LOOKS AT"}
_STRONGEST = 3


def form_of(output: str) -> str:
    """The form that the name of the file asks for. Raises UsageError for another, before anything is loaded."""
    form = Path(output).suffix.lower()
    if form not in FORMS:
        raise UsageError(f"{output} is no name of a picture", "call it .html, .svg or .json: -o map.html")
    return form


def checkpoint_for(engine: EngineChoice, renderer: Renderer, text: str, wish: AttentionWish) -> Checkpoint:
    """The checkpoint that is looked at: one that translates where a language is named."""
    from lmcli.text.language import identify

    if wish.target is None:
        return engine.checkpoint("generate", renderer)
    spoken = wish.source or identify(text)
    return engine.checkpoint("translate", renderer, (spoken, wish.target) if spoken else None)


def view_of(maps: AttentionMaps, layer: int | None, head: int | None) -> View:
    """The layer and head (from 1) of the first map; the last layer, and the mean of its heads, where none is named.

    Raises UsageError for a layer or a head that it has not.
    """
    first = maps.maps[0]
    for name, wanted, there in (("layer", layer, first.layers), ("head", head, first.heads)):
        if wanted is not None and wanted > there:
            raise UsageError(f"{maps.checkpoint} has no {name} {wanted}", f"--{name} takes 1 to {there}")
    return View(first.part, (layer or first.layers) - 1, None if head is None else head - 1)


def write(output: str, maps: AttentionMaps, form: str, view: View) -> None:
    """Write the file. Raises LmcliError where that is not possible."""
    try:
        Path(output).expanduser().write_text(draw(maps, form, view), encoding="utf-8", newline="\n")
    except OSError as error:
        raise LmcliError(f"{output} cannot be written: {error.strerror}", "name another file: -o map.html") from error


def record(maps: AttentionMaps, view: View, output: str) -> dict[str, Any]:
    """What was drawn, as JSON has it."""
    shapes = [
        {"part": each.part, "layers": each.layers, "heads": each.heads, "rows": each.rows, "columns": each.columns}
        for each in maps.maps
    ]
    return {
        "task": "explain", "checkpoint": maps.checkpoint, "text": maps.text, "written": maps.written, "file": output,
        "view": view.title(maps), "maps": shapes, "looks": _looks(maps, view),
    }  # fmt: skip


def rows(maps: AttentionMaps, view: View) -> list[dict[str, str]]:
    """Each token of the view and where it looks most."""
    return [
        {
            "token": seen(look["token"]),
            "looks": ", ".join(f"{seen(other['token'])} {percent(other['weight'])}" for other in look["at"]),
        }
        for look in _looks(maps, view)
    ]


def _looks(maps: AttentionMaps, view: View) -> list[dict[str, Any]]:
    found = view.of(maps)
    looks = []
    for token, row in zip(found.rows, found.mean(view.layer, view.head), strict=True):
        best = sorted(range(len(row)), key=lambda i: -row[i])[:_STRONGEST]
        looks.append({"token": token, "at": [{"token": found.columns[i], "weight": row[i]} for i in best if row[i]]})
    return looks
