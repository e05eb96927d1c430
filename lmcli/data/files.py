"""Files: the rows of CSV, TSV, JSON and JSONL, packed with gzip or not, and plain texts whole."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from lmcli.errors import InputError, UsageError
from lmcli.text.documents import file_errors
from lmcli.text.records import Row, columns_of, rows
from lmcli.text.streaming import ByteStream, encoding_of, text_of

FileForm = Literal["text", "jsonl", "json", "csv", "tsv"]
_SUFFIXES: dict[str, FileForm] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
}  # fmt: skip
_SAMPLE = 100  # rows of JSON whose fields are looked at
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class Text:
    """A file's text, its line ends as they are, and the form its rows are in."""

    name: str
    content: str
    form: FileForm


@dataclass(frozen=True)
class Table:
    """The rows of a file and the names of their fields, of JSON those of the first rows."""

    name: str
    columns: tuple[str, ...]
    rows: Iterable[Row]


def read_text(name: str, encoding: str | None = None, whole: bool = False) -> Text:
    """The text of a file. Its form follows from its suffix, else from its first line; with `whole` it is a text where
    neither says that it is a table or JSON.

    Raises InputError for a file that is missing, damaged, empty or no text.
    """
    content = decoded(read_bytes(name), name, encoding)
    if not content.strip():
        raise InputError(f"{name} is empty", "name a FILE with examples in it")
    form = _SUFFIXES.get(Path(name.removesuffix(".gz")).suffix.lower()) or _sniffed(content, whole)
    if form == "json" and not _is_json(content):
        form = "jsonl"  # Many files of JSON lines are called .json.
    return Text(name, content, form)


def read_table(text: Text) -> Table:
    """The rows of a text that is a table or JSON. Raises UsageError for a header that names a column twice."""
    if text.form == "json":
        return _of_objects(text.name, _array(text.content))
    lines = list(io.StringIO(text.content, newline=""))
    if text.form == "jsonl":
        return _of_objects(text.name, rows(lines, "jsonl", None))
    if text.form == "tsv" and _unquoted(lines):
        return _plain_tsv(text.name, lines)
    form: Literal["csv", "tsv"] = "tsv" if text.form == "tsv" else "csv"
    return Table(text.name, columns_of(lines, form), rows(lines, form, None))


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


def decoded(data: bytes, name: str, encoding: str | None) -> str:
    """The text of `data`. A byte that is no character becomes a lone surrogate. Raises InputError for no text."""
    if data.startswith(_PARQUET):
        raise InputError(
            f"{name} is a Parquet file", "write it as JSONL: python -m pip install pandas pyarrow, then to_json"
        )
    found = encoding_of(data[: 1 << 20], name, encoding)
    return text_of(ByteStream(io.BytesIO(data), name), found).read()


def _sniffed(content: str, whole: bool) -> FileForm:
    first = content.lstrip().partition("\n")[0]
    if first.startswith(("{", "[{")) or first.strip() == "[":
        return "json"
    if whole or not ("\t" in first or "," in first):
        return "text"
    return "tsv" if "\t" in first else "csv"


def _is_json(content: str) -> bool:
    """Whether it is one value over all its lines, and not one on each of them."""
    if content.lstrip().startswith("["):
        return True
    try:
        _, end = json.JSONDecoder().raw_decode(content.lstrip())
    except (ValueError, RecursionError):
        return False
    value_lines = content.lstrip()[:end].count("\n")
    return value_lines > 0 or not content.lstrip()[end:].strip()


def _of_objects(name: str, found: Iterator[Row]) -> Table:
    first = list(islice(found, _SAMPLE))
    columns = dict.fromkeys(key for row in first for key in _flat(row).fields)
    return Table(name, tuple(columns), map(_flat, chain(first, found)))


def _flat(row: Row) -> Row:
    """A row whose pair of sentences, {"translation": {"en": …, "zh": …}}, lies in fields of its own."""
    pair = row.fields.get("translation")
    return Row(row.line, {**row.fields, **pair}, error=row.error) if isinstance(pair, Mapping) else row


_SPACE = re.compile(r"[\s,]*")


def _array(content: str) -> Iterator[Row]:
    """The objects of one JSON array, each with its line; of an object around one, those of the array."""
    decoder = json.JSONDecoder()
    start = content.index("[") + 1 if content.lstrip().startswith("[") else None
    if start is None:
        yield from (_object(1, value) for value in _inner(content))
        return
    line, counted = 1, 0
    while True:
        found = _SPACE.match(content, start)
        start = found.end() if found else start
        if content[start : start + 1] in ("]", ""):
            return
        line, counted = line + content.count("\n", counted, start), start
        try:
            value, start = decoder.raw_decode(content, start)
        except (ValueError, RecursionError) as error:
            yield Row(line, {}, error=InputError(f"it is not JSON: {error}"))
            return
        yield _object(line, value)


def _object(line: int, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(line, value)
    return Row(line, {}, error=InputError("it is JSON, but no object"))


def _inner(content: str) -> list[Any]:
    """The array that stands for all the data in an object such as {"version": 1, "data": [{…}, …]}."""
    value = json.loads(content)
    lists = [inner for inner in value.values() if isinstance(inner, list) and inner and isinstance(inner[0], dict)]
    return lists[0] if len(lists) == 1 else [value]


def _unquoted(lines: list[str]) -> bool:
    """Whether a TSV is written without CSV's quotes: it has a quotation mark where CSV has none, and no row that goes
    over several lines."""
    kept = [line.rstrip("\r\n") for line in lines if line.strip("\r\n")]
    marked = (cell for line in kept if '"' in line for cell in line.split("\t") if '"' in cell)
    if all(map(_QUOTED.fullmatch, marked)):
        return False
    tabs = kept[0].count("\t")
    return all(line.count("\t") >= tabs for line in kept) or not _fits(lines, tabs + 1)


_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def _fits(lines: list[str], columns: int) -> bool:
    """Whether all rows have as many cells as there are columns, where quotes are CSV's."""
    try:
        return all(len(cells) in (0, columns) for cells in csv.reader(lines, delimiter="\t"))
    except csv.Error:
        return False


def _plain_tsv(name: str, lines: list[str]) -> Table:
    numbered = ((number, line.rstrip("\r\n")) for number, line in enumerate(lines, 1))
    filled = ((number, line) for number, line in numbered if line)
    header = tuple(next(filled, (0, ""))[1].split("\t"))
    twice = next((column for column in header if header.count(column) > 1), None)
    if twice is not None:
        raise UsageError(f"two columns of {name} are called '{twice}'", "rename one of them")
    return Table(name, header, (_plain_row(line, cells.split("\t"), header) for line, cells in filled))


def _plain_row(line: int, cells: list[str], header: tuple[str, ...]) -> Row:
    if any(cells[len(header) :]):
        return Row(line, {}, error=InputError(f"it has {len(cells)} cells, the header {len(header)}"))
    cells += [""] * (len(header) - len(cells))
    return Row(line, dict(zip(header, cells, strict=False)))
