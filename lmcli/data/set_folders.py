"""Folders of sets: evaluation sets in the files that their authors publish them in."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from lmcli.data.examples import Example, Place
from lmcli.data.files import read_file
from lmcli.data.reading import examples_of, refuse_broken
from lmcli.data.set_table import SETS, EvaluationSet
from lmcli.errors import InputError
from lmcli.text.documents import read_file as read_document

_SEGMENT = re.compile(r"<seg\b[^>]*>(.*?)</seg>", re.S | re.I)


def sets_in(folder: Path) -> list[EvaluationSet]:
    """The sets that lie in a folder: by the names of its files, or by its own name and theirs."""
    return [found for found in SETS.values() if _place(found, folder, by_name=True)]


def read_folder(wanted: EvaluationSet, folder: Path) -> list[Example]:
    """The examples of a set that lies in `folder`. Raises InputError where it does not."""
    place = _place(wanted, folder, by_name=False)
    if place is None:
        files = [f"{wanted.layout.folder}/{file}" for file in wanted.layout.files]
        expected = [*files, *(" and ".join(pair) for pair in wanted.layout.pairs)]
        raise InputError(f"{folder} does not hold {wanted.name}", f"it comes as {', or '.join(expected)}")
    if isinstance(place, tuple):
        return list(_aligned(wanted, *place))
    table = read_file(str(place), header=wanted.layout.header or None, plain=place.suffix == ".tsv")
    if isinstance(table, str):
        raise InputError(f"{place} is a text, not a table")
    columns = wanted.layout.columns
    reading = examples_of(table, wanted.task, columns, wanted.languages)
    refuse_broken(reading.broken)
    return reading.examples


Found = Path | tuple[Path, list[Path]]


def _place(wanted: EvaluationSet, folder: Path, by_name: bool) -> Found | None:
    """The set's file, or its source and references: inside a folder of its name, or right here.

    `dev.tsv` says nothing of itself; with `by_name` it counts only where the folder is called like the set.
    """
    layout = wanted.layout
    named = _simple(folder.name) in (_simple(layout.folder), _simple(wanted.name))
    for inside in (*_called(folder, layout.folder), folder):
        telling = inside != folder or named or not by_name
        for name in layout.files:
            if (inside / name).is_file() and (telling or name != "dev.tsv"):
                return inside / name
        for source, reference in layout.pairs:
            references = sorted(inside.glob(reference))
            if (inside / source).is_file() and references:
                return inside / source, references
    return None


def _called(folder: Path, name: str) -> Iterator[Path]:
    """The folders in `folder` that are called `name`, in any case."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return
    yield from (path for path in inside if path.is_dir() and _simple(path.name) == _simple(name))


def _simple(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _aligned(wanted: EvaluationSet, source: Path, references: list[Path]) -> Iterator[Example]:
    """The lines of a source with those of its references."""
    texts, answers = _segments(source), [_segments(path) for path in references]
    for path, lines in zip(references, answers, strict=True):
        if len(lines) != len(texts):
            raise InputError(f"{path} has {len(lines):,} segments, {source} {len(texts):,}", "they belong together")
    for number, text in enumerate(texts):
        own = tuple(dict.fromkeys(lines[number] for lines in answers))
        place = Place(str(source), number + 1)
        yield Example(text, own[0], languages=wanted.languages, references=own, place=place)


def _segments(path: Path) -> list[str]:
    """The lines of a text, or the segments of WMT's SGML."""
    text = read_document(str(path)).text
    if path.suffix == ".sgm":
        return [html.unescape(found).strip() for found in _SEGMENT.findall(text)]
    return [line.strip() for line in text.removesuffix("\n").split("\n")]
