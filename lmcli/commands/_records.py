"""Works through many texts: each is answered in its place, a bad one stops nothing, a broken run goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from lmcli.errors import InputError, LmcliError, UsageError
from lmcli.render import Renderer
from lmcli.render.objects import failure, more_of, record
from lmcli.render.sheet import Sheet, sheet
from lmcli.text.documents import Document
from lmcli.text.inputs import Documents
from lmcli.text.records import Record, problem
from lmcli.text.resume import Finished, agrees, finished
from lmcli.types import Engine, Event, Notice, Progress, Reasoning, TaskResult

AnyEngine = TypeVar("AnyEngine", bound=Engine | None, contravariant=True)
_OF_ONE_TEXT = (InputError, UsageError)  # Any other error would meet the next text as well.


class Task(Protocol[AnyEngine]):
    """`answer` is the field that a record's answer goes to: `label`, with its scores, or what the text is."""

    name: ClassVar[str]
    answer: ClassVar[str]

    def run(self, engine: AnyEngine, text: str) -> Iterator[Event]:
        """The events of one text."""

    def run_many(self, engine: AnyEngine, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The events of each text, in order; of `texts` only a few are taken ahead."""


class Writer(Protocol):
    """Writes what came of each document, in their order."""

    def answer(self, document: Document, events: Iterator[Event]) -> None: ...

    def fail(self, document: Document, error: LmcliError) -> None: ...


def work_through(task: Task[AnyEngine], engine: AnyEngine, documents: Documents, renderer: Renderer) -> int:
    """Answer every document, and say of those that failed how many; the exit code.

    Raises UsageError where the file to go on with holds other answers, and any error that is not of one text.
    """
    names = Names.of(task, documents)
    about = {"task": task.name, "checkpoint": engine.checkpoint.name if engine is not None else ""}
    if not documents.wish.resume:
        writer: Writer = LineWriter(documents, about, renderer)
        if documents.form and documents.form != "lines":
            to = renderer.sheet(documents.form, names.columns)
            writer = SheetWriter(to, documents.form, names, about, renderer)
        return Work(task, engine, documents, writer, renderer).run()
    form = _form(documents)
    found = _pass_over(documents, form, names)
    with _appended(documents.wish.resume, found.size_bytes) as write:
        to = sheet(form, names.columns, write, begun=found.size_bytes > 0)
        return Work(task, engine, documents, SheetWriter(to, form, names, about, renderer), renderer, found.count).run()


class Work:
    """One run over many documents."""

    def __init__(
        self, task: Task[AnyEngine], engine: AnyEngine, documents: Documents, writer: Writer, renderer: Renderer,
        done: int = 0,
    ) -> None:  # fmt: skip
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
                yield document.text

    def _write_bad(self) -> None:
        while self._waiting and (error := problem(self._waiting[0])):
            self._fail(self._waiting.popleft(), error)

    def _write(self, document: Document, events: Iterator[Event]) -> None:
        try:
            self._writer.answer(document, self._told(document, events))
        except _OF_ONE_TEXT as error:
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
                self._renderer.report(Notice(f"{_place(document)}: {event.text}", event.verbose))
            elif not isinstance(event, Progress | Reasoning):
                yield event

    def _tell_encoding(self, document: Document) -> None:
        if not document.encoding.startswith("utf") and self._encodings.get(document.title) != document.encoding:
            self._encodings = {document.title: document.encoding}
            self._renderer.report(Notice(f"{document.title} is read as {document.encoding.upper()}"))


@dataclass(frozen=True)
class Names:
    """What the fields of an answer are called, and the columns of a table of them."""

    answer: str
    score: str
    scores: str
    columns: tuple[str, ...]

    @staticmethod
    def of(task: Task[Any], documents: Documents) -> Names:
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
        self._several, self._about, self._renderer = documents.several, about, renderer

    def answer(self, document: Document, events: Iterator[Event]) -> None:
        self._renderer.show(events, **self._about, **self._line(document))

    def fail(self, document: Document, error: LmcliError) -> None:
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
            self._sheet.add({}, record(result, **self._about, **_own(document)))
            return
        answer = self._names.fields(result)
        if taken := fields.keys() & answer.keys() - {"finish_reason"}:
            raise UsageError(f"it has a field '{min(taken)}' already", "choose another name: --into NAME")
        self._sheet.add(fields, {name: value for name, value in answer.items() if name not in fields})

    def fail(self, document: Document, error: LmcliError) -> None:
        if self._form != "jsonl":  # A table has no place for it.
            self._renderer.warn(f"{_place(document)}: {error.message}")
        own = _own(document)
        told = failure(error) | ({"line": document.line} if isinstance(document, Record) else {})
        # A record that failed in an earlier command keeps that error: it is the cause of this one.
        earlier = isinstance(own.get("error"), dict)
        self._sheet.add(
            {**(self._about if _fields(document) is None else {}), **own}, {} if earlier else {"error": told}
        )


def _fields(document: Document) -> Mapping[str, Any] | None:
    """A record's own; None of a line and of a document."""
    return document.fields if isinstance(document, Record) and not document.inline else None


def _own(document: Document) -> dict[str, Any]:
    """The fields by which an answer is known to be this document's."""
    fields = _fields(document)
    if fields is not None:
        return dict(fields)
    file = {"file": document.name} if document.name else {}
    return file | ({"input": document.text} if document.inline else {})


def _place(document: Document) -> str:
    return document.place if isinstance(document, Record) else document.title


def _form(documents: Documents) -> str:
    """The form of the file to go on with: by its name, else that of the records."""
    name = documents.wish.resume or ""
    wanted = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}.get(Path(name).suffix.lower())
    known = "jsonl" if documents.wish.json or documents.form in (None, "lines") else str(documents.form)
    if wanted not in (known, "jsonl", None):
        raise UsageError(
            f"{name} cannot be {str(wanted).upper()}: the answers are {known.upper()}", "name it OUT.jsonl"
        )
    return wanted or known


def _pass_over(documents: Documents, form: str, names: Names) -> Finished:
    """What the file to go on with holds; `documents` are those that it does not.

    Raises UsageError where it holds the answers to others.
    """
    name = documents.wish.resume or ""
    if any(_same(name, file) for file in documents.files):
        raise UsageError(f"{name} is what the texts are read from", "name another file: --resume OUT.jsonl")
    found = finished(name, form)
    passed = deque(islice(documents, found.count), maxlen=1)
    header = form == "jsonl" or found.columns in ((), names.columns)
    if header and (not found.count or (documents.passed == found.count and agrees(found.last, _own(passed[0])))):
        return found
    raise UsageError(
        f"{name} holds the answers to other texts, or to others before them",
        "name a new file, or the one that this very command began",
    )


@contextmanager
def _appended(name: str, size_bytes: int) -> Iterator[Callable[[str], None]]:
    """Writes behind the first `size_bytes` of a file, each time whole; what is behind them was left half written."""
    try:
        file = open(Path(name).expanduser(), "ab", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise _unwritable(name, error) from None

    def write(text: str) -> None:
        try:
            file.write(text.encode())
        except OSError as error:
            raise _unwritable(name, error) from None

    with file:
        file.truncate(size_bytes)
        yield write


def _same(name: str, other: str) -> bool:
    try:
        return Path(name).expanduser().samefile(Path(other).expanduser())
    except OSError:
        return False


def _unwritable(name: str, error: OSError) -> LmcliError:
    return LmcliError(f"{name} cannot be written: {error.strerror or error}", "name another file: --resume OUT.jsonl")
