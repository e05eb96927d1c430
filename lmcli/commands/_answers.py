"""The answers of many texts: what their fields are called, and where each is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from lmcli.errors import LmcliError, UsageError
from lmcli.render import Renderer
from lmcli.render.objects import failure, more_of, record
from lmcli.render.sheet import Sheet
from lmcli.text.documents import Document
from lmcli.text.inputs import Documents
from lmcli.text.records import Record
from lmcli.types import Event, TaskResult


class Writer(Protocol):
    """Writes what came of each document, in their order."""

    def answer(self, document: Document, events: Iterator[Event]) -> None: ...

    def fail(self, document: Document, error: LmcliError) -> None: ...


class Answering(Protocol):
    """What a task says of its answers."""

    name: ClassVar[str]
    answer: ClassVar[str]


@dataclass(frozen=True)
class Names:
    """What the fields of an answer are called, and the columns of a table of them."""

    answer: str
    score: str
    scores: str
    columns: tuple[str, ...]

    @staticmethod
    def of(task: Answering, documents: Documents) -> Names:
        """`--into`, or the task's own; where the records have a `label` already, those of the task's name.

        Raises UsageError where the records have the fields already.
        """
        own = documents.fields
        wishes = [documents.wish.into] if documents.wish.into else [task.answer, task.name]
        for wish in wishes:
            prefix = "" if wish == "label" else f"{wish}_"
            fields = (wish, f"{prefix}score", f"{prefix}scores")
            if not own.keys() & (set(fields) if task.answer == "label" else {wish}):
                written = fields[:2] if task.answer == "label" else fields[:1]
                return Names(*fields, (*own, *written))
        raise UsageError(f"the records have a field '{wishes[0]}' already", "choose another name: --into NAME")

    def fields(self, result: TaskResult) -> dict[str, Any]:
        if result.label:
            label = result.label
            return {self.answer: label.name, self.score: label.score, self.scores: label.scores} | more_of(label)
        cut = {"finish_reason": result.finish_reason} if result.finish_reason != "stop" else {}
        return {self.answer: result.text, **cut}


class LineWriter:
    """Lines as people and other programs read them: what came of each and the line itself."""

    def __init__(self, documents: Documents, about: Mapping[str, str], renderer: Renderer) -> None:
        self._several, self._json = documents.several, documents.wish.json
        self._about, self._renderer = about, renderer

    def answer(self, document: Document, events: Iterator[Event]) -> None:
        self._renderer.show(events, **self._about, **self._line(document))

    def fail(self, document: Document, error: LmcliError) -> None:
        if not self._json:  # There it stands in the place of the answer.
            self._renderer.warn(f"{place_of(document)}: {error.message}")
        self._renderer.fail(error, **self._about, **self._line(document))

    def _line(self, document: Document) -> dict[str, Any]:
        return {"file": document.name, "input": document.text if self._several else None}


class SheetWriter:
    """Records with their own fields and their answers' behind them."""

    def __init__(self, to: Sheet, form: str, names: Names, about: Mapping[str, str], renderer: Renderer) -> None:
        self._sheet, self._form, self._names, self._about, self._renderer = to, form, names, about, renderer

    def answer(self, document: Document, events: Iterator[Event]) -> None:
        fields, result = _fields(document), TaskResult.fold(events)
        if fields is None:
            self._sheet.add({}, record(result, **self._about, **own_fields(document)))
            return
        answer = self._names.fields(result)
        if taken := fields.keys() & answer.keys() - {"finish_reason"}:
            raise UsageError(f"it has a field '{min(taken)}' already", "choose another name: --into NAME")
        self._sheet.add(fields, {name: value for name, value in answer.items() if name not in fields})

    def fail(self, document: Document, error: LmcliError) -> None:
        if self._form != "jsonl":  # A table has no place for it.
            self._renderer.warn(f"{place_of(document)}: {error.message}")
        own = own_fields(document)
        told = failure(error) | ({"line": document.line} if isinstance(document, Record) else {})
        # A record that failed in an earlier command keeps that error: it is the cause of this one.
        earlier = isinstance(own.get("error"), dict)
        self._sheet.add(
            {**(self._about if _fields(document) is None else {}), **own}, {} if earlier else {"error": told}
        )


def _fields(document: Document) -> Mapping[str, Any] | None:
    """A record's own; None of a line and of a document."""
    return document.fields if isinstance(document, Record) and not document.inline else None


def own_fields(document: Document) -> dict[str, Any]:
    """The fields by which an answer is known to be this document's."""
    fields = _fields(document)
    if fields is not None:
        return dict(fields)
    file = {"file": document.name} if document.name else {}
    return file | ({"input": document.text} if document.inline else {})


def place_of(document: Document) -> str:
    return document.place if isinstance(document, Record) else document.title
