"""The losses of a run as people see them: on the terminal when it ends, and as a picture in its folder."""

from __future__ import annotations

from pathlib import Path

from lmcli.render import Renderer
from lmcli.render.losses import losses
from lmcli.render.svg import charts_picture
from lmcli.training.card import PICTURE
from lmcli.training.log import TrainingLog


def draw_losses(folder: Path, name: str, renderer: Renderer) -> None:
    """Draw what the log in `folder` holds: on the terminal, and into the folder for the model card and for browsers.

    A run that has told nothing has no picture. Raises OSError where the disk does not take it.
    """
    charts = losses(TrainingLog(folder).events())
    if charts:
        (folder / PICTURE).write_text(charts_picture(f"{name}: losses", charts), encoding="utf-8")
        renderer.plot(charts)
