"""Records: the lines of a text, or the rows of JSONL, CSV and TSV, one at a time and none of them lost.

A row that cannot be read becomes a record that says why, in its place.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lmcli.errors import InputError, LmcliError, UsageError
from lmcli.text.documents import Document

Form = Literal["lines", "jsonl", "csv", "tsv"]
DELIMITERS = {"csv": ",", "tsv": "\t"}
_LONGEST_CELL = 1 << 26  # characters; csv's own 131,072 are fewer than a book has
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Record(Document):
    """One text of many and the fields it came with, in their order; a line has none.

    `line` is where it begins in its file, from 1, `position` how many bytes of the input were read by then. With an
    `error` it is not worked on.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0
    error: LmcliError | None = None
    position: int = 0

    @property
    def place(self) -> str:
        """Where it stands, for a message."""
        return f"line {self.line}" if self.name is None else f"{self.name}, line {self.line}"


@dataclass(frozen=True)
class Row:
    """What one row holds: its fields, or what is wrong with it."""

    line: int
    fields: Mapping[str, Any]
    text: str = ""
    error: LmcliError | None = None


def rows(lines: Iterable[str], form: Form, text_field: str | None, delimiter: str | None = None) -> Iterator[Row]:
    """The rows of a text in `form`, each with the text of its field `text_field`; blank lines are no rows.

    Without a `text_field` they have their fields alone, whatever these hold. Cells are parted by `delimiter`, else by
    the form's own. Raises UsageError for a header that names a column twice.
    """
    if form == "lines":
        return _lines(lines)
    if form == "jsonl":
        return _objects(lines, text_field)
    return _table(lines, delimiter or DELIMITERS[form], text_field)


def columns_of(lines: Iterable[str], form: Form, delimiter: str | None = None) -> tuple[str, ...]:
    """The header of a table; of anything else nothing."""
    delimiter = delimiter or DELIMITERS.get(form)
    return tuple(next(filter(None, _cells(lines, delimiter)), Cells(0, [])).values) if delimiter else ()


def form_of(first: str, text_field: str) -> Form | None:
    """The form a text is in by its first line: an object of JSON, or a header with `text_field` among its columns."""
    if first.lstrip().startswith("{"):
        return "jsonl"
    for form, delimiter in DELIMITERS.items():
        if text_field in next(csv.reader([first], delimiter=delimiter), []):
            return "tsv" if form == "tsv" else "csv"
    return None


def _lines(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if text := line.strip():
            yield Row(number, {}, _LONE_SURROGATE.sub("\ufffd", text), damage(text))


def _objects(lines: Iterable[str], text_field: str | None) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            yield Row(number, {}, error=damage(line) or InputError(f"it is not JSON: {reason}"))
            continue
        if isinstance(value, dict):
            yield _row(number, value, text_field)
        else:
            yield Row(number, {}, error=InputError("it is JSON, but no object", 'an object is {"name": value, …}'))


def _table(lines: Iterable[str], delimiter: str, text_field: str | None) -> Iterator[Row]:
    cells = filter(None, _cells(lines, delimiter))
    header = next(cells, Cells(0, [])).values
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two columns are called '{twice}'", "rename one of them")
    for row in cells:
        values = [*row.values, *[""] * (len(header) - len(row.values))]
        yield _row(row.line, dict(zip(header, values, strict=False)), text_field, _misfit(row, len(header)))


@dataclass(frozen=True)
class Cells:
    """A row of a table; false where it is a blank line."""

    line: int
    values: list[str]
    error: LmcliError | None = None

    def __bool__(self) -> bool:
        return bool(self.values or self.error)


def _cells(lines: Iterable[str], delimiter: str) -> Iterator[Cells]:
    ended = False

    def watched() -> Iterator[str]:
        nonlocal ended
        yield from lines
        ended = True

    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(watched(), delimiter=delimiter)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield Cells(line, [], InputError(f"the row cannot be read: {error}", "is a quotation mark left open?"))
            continue
        if values is None:
            return
        # A reader that asks for more lines within a row and is given none hands out what it has.
        open_quote = (
            InputError("its quotation mark is never closed", 'write " as "" inside of quotes') if ended else None
        )
        yield Cells(line, values, open_quote)


def _misfit(row: Cells, columns: int) -> LmcliError | None:
    if row.error or not any(row.values[columns:]):
        return row.error
    surplus = ", ".join(repr(cell) for cell in row.values[columns:])  # It has no column to stand in.
    return InputError(
        f"it has {len(row.values)} cells, the header {columns}: {surplus} is too much",
        "put a cell with a comma into quotes",
    )


def _row(line: int, fields: Mapping[str, Any], text_field: str | None, error: LmcliError | None = None) -> Row:
    if text_field is None:
        return Row(line, fields, error=error)
    text = fields.get(text_field)
    error = error or _unfit(fields, text_field) or damage(str(text))
    return Row(line, fields, "" if error else str(text), error)


def _unfit(fields: Mapping[str, Any], text_field: str) -> LmcliError | None:
    if text_field not in fields:
        return InputError(f"it has no field '{text_field}'{_instead(fields)}")
    text = fields[text_field]
    if not isinstance(text, str):
        return InputError(f"its field '{text_field}' holds {_KINDS.get(type(text), 'no text')}, not text")
    return None if text.strip() else InputError(f"its field '{text_field}' is empty")


def problem(document: Document) -> LmcliError | None:
    """What is wrong with a record; nothing with any other document."""
    return document.error if isinstance(document, Record) else None


def unknown_field(records: Sequence[Record], text_field: str) -> UsageError | None:
    """The error of records none of which has the field: the name is wrong, and not the records."""
    known = [record for record in records if record.fields]
    if not known or any(text_field in record.fields for record in known):
        return None
    fields = known[0].fields
    return UsageError(f"{known[0].title} has no field '{text_field}'{_instead(fields)}", "--field NAME names the text")


def _instead(fields: Mapping[str, Any]) -> str:
    return f"; it has {', '.join(fields)}" if fields else ""


_KINDS: dict[type, str] = {
    type(None): "null", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object",
}  # fmt: skip


def damage(text: str) -> LmcliError | None:
    """What is wrong with a text of which some bytes, or half a pair of JSON's escapes, are no character."""
    found = _LONE_SURROGATE.search(text)
    if not found:
        return None
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return InputError(f"byte 0x{code - 0xDC00:02x} is no character of its encoding", "convert the file to UTF-8")
    return InputError(f"\\u{code:04x} is half a character")


Count = Callable[[], int]


def records(rows: Iterable[Row], name: str | None, encoding: str, by_line: bool, position: Count) -> Iterator[Record]:
    """The rows of one file as records; `position` tells how many bytes were read by now."""
    for row in rows:
        yield Record(name, row.text, encoding, by_line, row.fields, row.line, row.error, position())
