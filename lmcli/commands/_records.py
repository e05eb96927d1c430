"""Works through many texts: each is answered in its place, a bad one stops nothing, a broken run goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import ClassVar, Protocol, TypeVar

from lmcli.commands._answers import LineWriter, Names, SheetWriter, Writer, place_of
from lmcli.commands._resume import appended, form_of_answers, pass_over
from lmcli.errors import OF_ONE_TEXT, LmcliError
from lmcli.protocols import Engine
from lmcli.render import Renderer
from lmcli.render.sheet import sheet
from lmcli.text.documents import Document
from lmcli.text.inputs import Documents
from lmcli.text.records import Record, problem
from lmcli.types import Event, Notice, Progress, Reasoning

AnyEngine = TypeVar("AnyEngine", bound=Engine | None, contravariant=True)


class Task(Protocol[AnyEngine]):
    """`answer` is the field that a record's answer goes to: `label`, with its scores, or what the text is."""

    name: ClassVar[str]
    answer: ClassVar[str]

    def run(self, engine: AnyEngine, text: str) -> Iterator[Event]:
        """The events of one text."""

    def run_many(self, engine: AnyEngine, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The events of each text, in order; of `texts` only a few are taken ahead."""


def work_through(
    task: Task[AnyEngine], engine: AnyEngine, documents: Documents, renderer: Renderer, markup: bool = False
) -> int:
    """Answer every document, and say of those that failed how many; the exit code. See show_each.

    Raises UsageError where the file to go on with holds other answers, and any error that is not of one text.
    """
    names = Names.of(task, documents)
    about = {"task": task.name, "checkpoint": engine.checkpoint.name if engine is not None else ""}
    if not documents.wish.resume:
        writer: Writer = LineWriter(documents, about, renderer)
        if documents.form and documents.form != "lines":
            sheet_form = "jsonl" if documents.wish.json else documents.form
            writer = SheetWriter(renderer.sheet(sheet_form, names.columns), sheet_form, names, about, renderer)
        return Work(task, engine, documents, writer, renderer, markup).run()
    form = form_of_answers(documents)
    found = pass_over(documents, form, names.columns)
    with appended(documents.wish.resume, found.size_bytes) as write:
        to = sheet(form, names.columns, write, begun=found.size_bytes > 0)
        writer = SheetWriter(to, form, names, about, renderer)
        return Work(task, engine, documents, writer, renderer, markup, found.count).run()


class Work:
    """One run over many documents."""

    def __init__(
        self, task: Task[AnyEngine], engine: AnyEngine, documents: Documents, writer: Writer, renderer: Renderer,
        markup: bool, done: int = 0,
    ) -> None:  # fmt: skip
        self._markup = markup
        self._results = task.run_many(engine, self._texts())
        self._documents, self._writer, self._renderer = documents, writer, renderer
        self._waiting: deque[Document] = deque()
        self._begun = self._done = done
        self._failed = 0
        self._encodings: dict[str, str] = {}

    def run(self) -> int:
        try:
            self._run()
        except KeyboardInterrupt:
            if file := self._documents.wish.resume:
                self._renderer.report(Notice(f"{self._done:,} are in {file}; the same command goes on from there"))
            raise
        if self._failed:
            self._renderer.warn(f"{self._failed:,} of {self._done - self._begun:,} {self._unit} failed")
        return 1 if self._failed else 0

    def _run(self) -> None:
        self._renderer.report(self._progress(0))
        for events in self._results:
            # It leaves the queue when it is written: only then may a bad one behind it be.
            self._write(self._waiting[0], events)
            self._waiting.popleft()
            self._write_bad()
        self._write_bad()

    def _texts(self) -> Iterator[str]:
        for document in self._documents:
            self._waiting.append(document)
            if problem(document):
                self._write_bad()
            else:
                self._tell_encoding(document)
                yield document.text if self._markup else document.readable

    def _write_bad(self) -> None:
        while self._waiting and (error := problem(self._waiting[0])):
            self._fail(self._waiting.popleft(), error)

    def _write(self, document: Document, events: Iterator[Event]) -> None:
        try:
            self._writer.answer(document, self._told(document, events))
        except OF_ONE_TEXT as error:
            self._fail(document, error)
            return
        self._count(document)

    def _fail(self, document: Document, error: LmcliError) -> None:
        self._writer.fail(document, error)
        self._failed += 1
        self._count(document)

    def _count(self, document: Document) -> None:
        self._done += 1
        self._renderer.report(self._progress(document.position if isinstance(document, Record) else 0))

    def _progress(self, position: int) -> Progress:
        size = self._documents.size_bytes
        return Progress(self._done, 0, self._unit, min(position / size, 1.0) if size else None)

    @property
    def _unit(self) -> str:
        return {None: "texts", "lines": "lines"}.get(self._documents.form, "records")

    def _told(self, document: Document, events: Iterator[Event]) -> Iterator[Event]:
        """The events that are the answer; what there is to say of a text is told with where it stands."""
        for event in events:
            if isinstance(event, Notice):
                self._renderer.report(Notice(f"{place_of(document)}: {event.text}", event.verbose))
            elif not isinstance(event, Progress | Reasoning):
                yield event

    def _tell_encoding(self, document: Document) -> None:
        if self._documents.wish.encoding or document.encoding.startswith("utf"):
            return
        if self._encodings.get(document.title) != document.encoding:
            self._encodings = {document.title: document.encoding}
            self._renderer.report(Notice(f"{document.title} is read as {document.encoding.upper()}"))
