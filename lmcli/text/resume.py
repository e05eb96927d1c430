"""Resume: how far a file of answers got before its run broke off."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from lmcli.errors import UsageError
from lmcli.text.documents import file_errors
from lmcli.text.records import DELIMITERS


@dataclass(frozen=True)
class Finished:
    """The whole records of a file: how many, the last one, their size, and a table's columns."""

    count: int = 0
    last: Mapping[str, Any] = field(default_factory=dict)
    size_bytes: int = 0
    columns: tuple[str, ...] = ()


def finished(name: str, form: str) -> Finished:
    """What a file in `form` (jsonl, csv or tsv) holds; nothing where it is not there.

    A last line that a broken run left half written is not counted. Raises UsageError for a file of another kind,
    InputError for one that cannot be read.
    """
    path = Path(name).expanduser()
    if not path.exists():
        return Finished()
    with file_errors(name):
        file = open(path, "rb")  # noqa: SIM115
    with file:
        try:
            return _objects(file) if form == "jsonl" else _table(file, DELIMITERS[form])
        except (ValueError, csv.Error):
            raise UsageError(f"{name} holds something else than answers in {form.upper()}", "name a new file") from None


def agrees(last: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether an answer is that of the record with these fields."""
    # As JSON: there NaN, which a file may hold, is itself.
    return all(name in last and json.dumps(last[name]) == json.dumps(value) for name, value in own.items())


def _objects(file: BinaryIO) -> Finished:
    count, size, last = 0, 0, b""
    for line in file:
        if not line.endswith(b"\n"):
            break
        count, size, last = count + 1, size + len(line), line
    fields = json.loads(last) if last else {}
    if not isinstance(fields, dict):
        raise ValueError("no object")
    return Finished(count, fields, size)


def _table(file: BinaryIO, delimiter: str) -> Finished:
    size, torn = 0, False

    def whole() -> Iterator[str]:
        nonlocal size, torn
        for line in file:
            if not line.endswith(b"\n"):
                break
            size += len(line)
            yield line.decode()
        torn = True

    reader = csv.reader(whole(), delimiter=delimiter)
    found: Finished | None = None
    for cells in reader:
        if torn:  # The reader was within a row when the lines ended.
            break
        if found is None:
            found = Finished(size_bytes=size, columns=tuple(cells))
        else:
            last = dict(zip(found.columns, cells, strict=True))
            found = Finished(found.count + 1, last, size, found.columns)
    return found or Finished()
