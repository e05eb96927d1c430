"""Sheets: records written as they came in, with their answers behind their own fields."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lmcli.render.objects import line
from lmcli.text.records import DELIMITERS

Write = Callable[[str], None]


class Sheet(Protocol):
    """Takes one record after another; each is written whole or not at all."""

    def add(self, own: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Write a record's own fields and those of its answer, or of its error."""


def sheet(form: str, columns: Sequence[str], write: Write, begun: bool = False) -> Sheet:
    """The sheet of `form` (jsonl, csv or tsv); with `begun` a table's header was written before."""
    return JsonSheet(write) if form == "jsonl" else TableSheet(write, DELIMITERS[form], columns, begun)


class JsonSheet:
    """One object a line."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def add(self, own: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        self._write(line({**own, **answer}))


class TableSheet:
    """A header, unless it was written before, and a row a record; an error leaves the cells of its answer empty."""

    def __init__(self, write: Write, delimiter: str, columns: Sequence[str], begun: bool = False) -> None:
        self._write, self._columns, self._delimiter = write, columns, delimiter
        if not begun:
            self._row(columns)

    def add(self, own: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        fields = {**own, **answer}
        self._row([_cell(fields.get(name, "")) for name in self._columns])

    def _row(self, cells: Sequence[str]) -> None:
        row = io.StringIO()
        csv.writer(row, delimiter=self._delimiter, lineterminator="\n").writerow(cells)
        self._write(row.getvalue())


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
