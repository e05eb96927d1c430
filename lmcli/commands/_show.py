"""Shows a task's result for each of several documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol, TypeVar

from lmcli.errors import UsageError
from lmcli.render import Renderer
from lmcli.text.documents import Document
from lmcli.text.language import identify
from lmcli.types import Engine, Event, Notice

AnyEngine = TypeVar("AnyEngine", bound=Engine | None, contravariant=True)
_ENOUGH = 100  # documents to tell the language by


class Task(Protocol[AnyEngine]):
    name: ClassVar[str]

    def run(self, engine: AnyEngine, text: str) -> Iterator[Event]:
        """The events of one text."""


def show_each(task: Task[AnyEngine], engine: AnyEngine, documents: Sequence[Document], renderer: Renderer) -> None:
    """One record a document, under its name where there are several; `engine` None where no text needs one.

    Raises UsageError, with the document's name, for one that the checkpoint cannot work on.
    """
    checkpoint = engine.checkpoint.name if engine is not None else ""
    for document in documents:
        if len(documents) > 1:
            renderer.heading(document.title)
        if not document.encoding.startswith("utf"):
            renderer.report(Notice(f"{document.title} is read as {document.encoding.upper()}"))
        events = task.run(engine, document.text)
        try:
            renderer.show(events, task=task.name, checkpoint=checkpoint, file=document.name)
        except UsageError as error:
            raise UsageError(f"{document.title}: {error.message}", error.hint) from error


def language_of(documents: Sequence[Document]) -> tuple[str, str] | None:
    """The one language the documents are in and stay in, for the choice of a checkpoint; None where it varies."""
    found = {identify(document.text) for document in documents[:_ENOUGH]}
    only = found.pop() if len(found) == 1 else None
    return (only, only) if only else None
