"""Plain TSV: rows parted by tabs alone, whose quotation marks are part of the text, as GLUE's and Tatoeba's files are.

The other kind follows CSV's rules for quotes. Read by those, a plain file loses quotation marks, and rows behind one
that is never closed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence

from lmcli.errors import InputError
from lmcli.text.records import Row

_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def is_plain(lines: Sequence[str]) -> bool:
    """Whether a TSV has a quotation mark where CSV has none, and no cell with a tab or a line end in quotes."""
    kept = [line.rstrip("\r\n") for line in lines if line.strip("\r\n")]
    marked = (cell for line in kept if '"' in line for cell in line.split("\t") if '"' in cell)
    if all(map(_QUOTED.fullmatch, marked)):
        return False
    tabs = kept[0].count("\t")
    return all(line.count("\t") == tabs for line in kept) or not _fits(lines, tabs + 1)


def plain_rows(lines: Sequence[str], header: Sequence[str] | None = None) -> tuple[tuple[str, ...], Iterator[Row]]:
    """The names of the columns, which the first line holds where they are not given, and the rows."""
    numbered = ((number, line.rstrip("\r\n")) for number, line in enumerate(lines, 1))
    filled = ((number, line) for number, line in numbered if line)
    named = tuple(header or next(filled, (0, ""))[1].split("\t"))
    return named, (_row(line, cells.split("\t"), named) for line, cells in filled)


def _fits(lines: Sequence[str], columns: int) -> bool:
    """Whether all rows have as many cells as there are columns, where quotes are CSV's."""
    try:
        return all(len(cells) in (0, columns) for cells in csv.reader(lines, delimiter="\t"))
    except csv.Error:
        return False


def _row(line: int, cells: list[str], header: tuple[str, ...]) -> Row:
    if any(cells[len(header) :]):
        return Row(line, {}, error=InputError(f"it has {len(cells)} cells, the header {len(header)}"))
    cells += [""] * (len(header) - len(cells))
    return Row(line, dict(zip(header, cells, strict=False)))
