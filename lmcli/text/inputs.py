"""Inputs: the documents, lines or records that a command works on, in one sequence that is read as the work goes on."""

from __future__ import annotations

import json
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from lmcli.errors import InputError, UsageError
from lmcli.text.documents import Document, names_file, read_all, read_texts
from lmcli.text.records import Form, Record, columns_of, form_of, problem, records, rows, unknown_field
from lmcli.text.segment import lines
from lmcli.text.streaming import ByteStream, encoding_of, opened, text_of

SAMPLE = 100  # records that are looked at before the work begins
_SUFFIXES: dict[str, Form] = {".jsonl": "jsonl", ".ndjson": "jsonl"}
_TABLES: dict[str, Form] = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv"}


@dataclass(frozen=True)
class Wish:
    """How the user wants texts to be read and answers to be kept.

    `field` names the text of a record, `into` the field of its answer, and `resume` the file answers are added to.
    With `by_line` each line is a text; `json` says that the answers are to be JSON, so that piped JSON are records.
    """

    field: str | None = None
    into: str | None = None
    resume: str | None = None
    by_line: bool = False
    json: bool = False
    inline: bool = False  # an argument may be a text itself


class Documents:
    """Documents in their order, to be gone through once; of records only the next are in memory.

    `form` is None for whole documents, `size_bytes` what they are read from, None where that is not known before.
    """

    def __init__(
        self,
        found: Iterable[Document],
        wish: Wish,
        files: Sequence[str] = (),
        form: Form | None = None,
        size_bytes: int | None = None,
    ) -> None:
        self._rest = iter(found)
        self._ahead: deque[Document] = deque()
        self.wish, self.files, self.form, self.size_bytes = wish, files, form, size_bytes
        self.passed = 0  # how many were gone through

    @property
    def many(self) -> bool:
        """Whether each is answered in its place and a bad one stops nothing."""
        return self.form is not None or self.wish.resume is not None

    @property
    def several(self) -> bool:
        self.first(2)
        return len(self._ahead) > 1

    def first(self, count: int = SAMPLE) -> list[Document]:
        """The first that have a text, at most `count`, without going through them."""
        self._ahead += islice(self._rest, max(count - len(self._ahead), 0))
        return [document for document in islice(self._ahead, count) if not problem(document)]

    @property
    def fields(self) -> Mapping[str, Any]:
        """The own fields of the first record that could be read."""
        self.first()
        return next((record.fields for record in self._ahead if isinstance(record, Record) and record.fields), {})

    def __iter__(self) -> Iterator[Document]:
        while self._ahead:
            self.passed += 1
            yield self._ahead.popleft()
        for document in self._rest:
            self.passed += 1
            yield document

    def check(self) -> None:
        """Raises InputError where there is nothing, UsageError where no record has the field."""
        self.first()
        sample = [record for record in self._ahead if isinstance(record, Record)]
        if not self._ahead:
            raise InputError(
                "there is no text in it", "name a FILE with text in it, or pipe some: cat notes.txt | lmcli …"
            )
        if self.form not in (None, "lines") and (error := unknown_field(sample, self.wish.field or "text")):
            raise error


def read_inputs(arguments: Sequence[str], stdin: BinaryIO, wish: Wish) -> Documents:
    """What FILE arguments, or standard input where there are none, hold.

    Lines with `wish.by_line`. Records where a field is named, where the files are called .jsonl, and where an object of
    JSON is piped in and JSON is to come out. Otherwise documents, which are read at once. Raises InputError for a file
    that cannot be read, UsageError for one that does not fit the others or lacks the field.
    """
    arguments = arguments or ["-"]
    if list(arguments).count("-") > 1:
        raise InputError("standard input can be read only once", "give '-' once")
    if wish.by_line and wish.field:
        raise UsageError("--lines and --field exclude each other", "--field names the text of a record")
    piped = ByteStream(stdin, "standard input")
    sources = [_source(argument, piped, wish) for argument in arguments]
    if not any(sources):
        whole = read_texts if wish.inline else read_all
        documents = whole(arguments, piped)  # type: ignore[arg-type]
        return Documents(documents, wish, [document.name for document in documents if document.name])
    streamed = _streamed([_known(source, sources) for source in sources], piped, wish)
    streamed.check()
    return streamed


@dataclass(frozen=True)
class _Source:
    """A file (None: standard input) to read records from, or with `inline` a text whose lines are some."""

    name: str | None
    form: Form
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    inline: str | None = None

    @property
    def title(self) -> str:
        return self.name or "standard input"


def _source(argument: str, piped: ByteStream, wish: Wish) -> _Source | None:
    """How an argument is to be read; None where it is a document."""
    if wish.inline and not (argument == "-" or names_file(argument)):
        return _Source(None, "lines", inline=argument) if wish.by_line else None
    name = None if argument == "-" else argument
    form = "lines" if wish.by_line else _SUFFIXES.get(Path(argument).suffix.lower())
    if not (form or wish.field or (name is None and wish.json)):
        return None
    with opened(name, piped) as stream:
        head = stream.head()
    encoding = encoding_of(head, stream.title)
    beginning = head.decode(encoding, "replace")
    form = form or _sniffed(name, beginning, wish)
    return _Source(name, form, encoding, columns_of(StringIO(beginning, ""), form)) if form else None


def _sniffed(name: str | None, beginning: str, wish: Wish) -> Form | None:
    """The form of records by the file's name or their first line."""
    if name and wish.field and (form := _TABLES.get(Path(name).suffix.lower())):
        return form
    first = beginning.lstrip().partition("\n")[0].rstrip("\r")
    if not wish.field:
        return "jsonl" if _is_object(first) else None
    form = form_of(first, wish.field)
    if form is None:
        raise UsageError(
            f"{name or 'standard input'} has no field '{wish.field}': no JSON, and no such column in its first line",
            "a table begins with the names of its columns",
        )
    return form


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _known(source: _Source | None, sources: Sequence[_Source | None]) -> _Source:
    if source is None:
        named = next(found.title for found in sources if found)
        raise UsageError(
            f"{named} holds records, and not all the others do", "give the two kinds to calls of their own"
        )
    return source


def _streamed(sources: Sequence[_Source], piped: ByteStream, wish: Wish) -> Documents:
    first = sources[0]
    for source in sources:
        if not wish.json and (source.form, source.columns) != (first.form, first.columns):
            raise UsageError(f"{source.title} has other columns than {first.title}", "--jsonl takes both")
    sizes = [_size(source, piped) for source in sources]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    form = first.form if all(source.form == first.form for source in sources) else "jsonl"
    files = [source.name for source in sources if source.name]
    return Documents(_records(sources, sizes, piped, wish), wish, files, form, total)


def _records(
    sources: Sequence[_Source], sizes: Sequence[int | None], piped: ByteStream, wish: Wish
) -> Iterator[Document]:
    before = 0
    for source, size in zip(sources, sizes, strict=True):
        if source.inline is not None:
            yield from records(rows(lines(source.inline), "lines", ""), None, "utf-8", True, lambda: 0)
            continue
        with opened(source.name, piped) as stream:
            found = rows(text_of(stream, source.encoding), source.form, wish.field or "text")
            by_line = source.form == "lines"
            yield from records(found, source.name, source.encoding, by_line, lambda: before + stream.position)  # noqa: B023
        before += size or 0


def _size(source: _Source, piped: ByteStream) -> int | None:
    """Bytes of a file; None of a pipe."""
    if source.inline is not None:
        return 0
    try:
        status = os.stat(Path(source.name).expanduser()) if source.name else os.fstat(piped.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
