"""Files: the rows of CSV, TSV, JSON, JSONL and Parquet, packed with gzip or not, and plain texts whole."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from lmcli.data.objects import flat, is_one_value, objects
from lmcli.data.plain_tsv import is_plain, plain_rows
from lmcli.errors import InputError, UsageError
from lmcli.text.documents import file_errors
from lmcli.text.records import Row, columns_of, rows
from lmcli.text.streaming import ByteStream, encoding_of, text_of

FileForm = Literal["text", "jsonl", "json", "csv", "tsv", "parquet"]
_SUFFIXES: dict[str, FileForm] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
}  # fmt: skip
_SAMPLE = 100  # rows of JSON whose fields are looked at
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class Table:
    """The rows of a file and the names of their fields, of JSON those of the first rows."""

    name: str
    columns: tuple[str, ...]
    rows: Iterable[Row]


def is_named_as_data(name: str) -> bool:
    """Whether a name ends as those of tables and of JSON do."""
    return _named(name) is not None


def _named(name: str) -> FileForm | None:
    return _SUFFIXES.get(Path(name.removesuffix(".gz")).suffix.lower())


def read_file(
    name: str,
    encoding: str | None = None,
    whole: bool = False,
    header: Sequence[str] | None = None,
    plain: bool = False,
) -> Table | str:
    """The rows of a file, or its text where it is neither a table nor JSON.

    The form follows from the suffix, else from the content; with `whole` what has no such suffix and is no JSON is a
    text, whatever its first line looks like. A TSV without names of its columns has them from `header`, and a `plain`
    one is known to have no quotes. Raises InputError for a file that is missing, damaged, empty or no text, UsageError
    for a header that names a column twice.
    """
    data = read_bytes(name)
    if data.startswith(_PARQUET):
        return _parquet(name, data)
    content = _decoded(data, name, encoding)
    if not content.strip():
        raise InputError(f"{name} is empty", "name a FILE with examples in it")
    form = _named(name) or _sniffed(content, whole)
    if form == "text":
        return content
    if form == "json" and is_one_value(content):
        return _of_objects(name, objects(content))
    lines = list(io.StringIO(content, newline=""))
    if form in ("json", "jsonl"):  # Many files of JSON lines are called .json.
        return _of_objects(name, rows(lines, "jsonl", None))
    return _table(name, lines, _delimiter(lines, form), header, plain)


def read_bytes(name: str) -> bytes:
    """What a file holds, unpacked. Raises InputError where it cannot be read."""
    with file_errors(name):
        data = Path(name).expanduser().read_bytes()
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{name} is damaged: {error}", "fetch or pack it again") from None


def _decoded(data: bytes, name: str, encoding: str | None) -> str:
    """The text of `data`. A byte that is no character becomes a lone surrogate. Raises InputError for no text."""
    found = encoding_of(data[: 1 << 20], name, encoding)
    return text_of(ByteStream(io.BytesIO(data), name), found).read()


def _sniffed(content: str, whole: bool) -> FileForm:
    first = content.lstrip().partition("\n")[0]
    if first.startswith(("{", "[{")) or first.strip() == "[":
        return "json"
    if whole or not ("\t" in first or "," in first):
        return "text"
    return "tsv" if "\t" in first else "csv"


def _delimiter(lines: Sequence[str], form: FileForm) -> str:
    """What parts the cells: of a file that is called .csv the semicolon or tab that some programs write, too."""
    if form == "tsv":
        return "\t"
    header = next(line for line in lines if line.strip())
    return next((mark for mark in (",", "\t", ";") if mark in header), ",")


def _table(name: str, lines: list[str], delimiter: str, header: Sequence[str] | None, plain: bool) -> Table:
    if delimiter != "\t" or not (plain or header or is_plain(lines)):
        return Table(name, columns_of(lines, "csv", delimiter), rows(lines, "csv", None, delimiter))
    named, found = plain_rows(lines, header)
    twice = next((column for column in named if named.count(column) > 1), None)
    if twice is not None:
        raise UsageError(f"two columns of {name} are called '{twice}'", "rename one of them")
    return Table(name, named, found)


def _of_objects(name: str, found: Iterator[Row]) -> Table:
    found = (flat(row) for row in found)
    first = list(islice(found, _SAMPLE))
    if not any(row.fields for row in first):
        raise _without_rows(name, first)
    columns = dict.fromkeys(key for row in first for key in row.fields)
    return Table(name, tuple(columns), chain(first, found))


def _without_rows(name: str, found: Sequence[Row]) -> InputError:
    reason = next((f": {row.error.message}" for row in found if row.error), "")
    return InputError(f"{name} has no rows{reason}", 'a row is an object: {"text": …, "label": …}')


def _parquet(name: str, data: bytes) -> Table:
    """The rows of a Parquet file, numbered from 1: the door to pyarrow."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise InputError(f"{name} is a Parquet file", "install its reader: pip install 'lmcli[parquet]'") from None
    try:
        found: list[Mapping[str, Any]] = parquet.read_table(io.BytesIO(data)).to_pylist()
    except (ArrowException, OSError) as error:
        raise InputError(f"{name} is damaged: {str(error).partition(chr(10))[0]}", "fetch it again") from None
    return _of_objects(name, (Row(number, fields) for number, fields in enumerate(found, 1)))
