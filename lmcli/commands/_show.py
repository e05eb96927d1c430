"""Shows a task's result for each of several documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

from lmcli.render import Renderer
from lmcli.text.documents import Document
from lmcli.types import Engine, Event, Notice


class Task(Protocol):
    name: ClassVar[str]

    def run(self, engine: Engine, text: str) -> Iterator[Event]:
        """The events of one text."""


def show_each(task: Task, engine: Engine, documents: Sequence[Document], renderer: Renderer) -> None:
    """One record a document, under its name where there are several."""
    for document in documents:
        if len(documents) > 1:
            renderer.heading(document.title)
        if not document.encoding.startswith("utf"):
            renderer.report(Notice(f"{document.title} is read as {document.encoding.upper()}"))
        events = task.run(engine, document.text)
        renderer.show(events, task=task.name, checkpoint=engine.checkpoint.name, file=document.name)
