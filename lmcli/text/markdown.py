"""Plain text and Markdown as blocks: a line's marks, a table's cells and code told apart from the prose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from lmcli.text.fences import FENCE, fenced, underlines
from lmcli.text.layout import Block
from lmcli.text.segment import lines

# A line that is a path and nothing else: /usr/bin, ./a, ~/b, C:\\c, docs/text.md; not and/or.
_PATH = re.compile(
    r"(?:[-*+]\s+)?(?:(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w.@+-]+)+[/\\]?|(?:[\w.@+-]+/)+[\w@+-]*\.\w{1,8})"
)
# Quotation, list, task, heading and footnote marks, in the order they may stand before a line's words.
_MARKS = re.compile(
    r"(?:[ \t]*(?:>|[-*+](?=\s)|\d{1,9}[.)](?=\s)|#{1,6}(?=\s)|\[[ xX]\](?=\s)|\[\^[^\]\s]+\]:))*[ \t]*"
)
_HEADING = re.compile(r"[ \t]*#{1,6}\s.*?(\s+#+)\s*")
_REFERENCE = re.compile(r"[\s>]*\[([^\]^][^\]]*)\]:\s+\S.*")
_DIRECTIVE = re.compile(r"\s*(?::::|\.\. [\w-]+::).*")
_DELIMITERS = re.compile(r"[\s>]*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_CELL = re.compile(r"(?:[^|\\`]|\\.|(`+)(?:.*?)\1|`)*")
_FRONT = re.compile(r"\s*(?:[\w.-]+\s*:|- |#|$)|\s")
# From a line that begins so to the one in which the other is found.
_RAW = (
    (re.compile(r"\s*<!--"), "-->"), (re.compile(r"\s*<script\b", re.I), "</script>"),
    (re.compile(r"\s*<style\b", re.I), "</style>"), (re.compile(r"\s*<pre\b", re.I), "</pre>"),
    (re.compile(r"\s*\$\$\s*$"), "$$"),
)  # fmt: skip


def blocks(text: str, indented_code: bool = False) -> Iterator[Block]:
    """The blocks of a text; joined they are the text. With `indented_code` four spaces make code, as in Markdown."""
    whole = lines(text)
    kept = _front(whole) | fenced(whole)
    kept |= _raw(whole, kept)
    kept |= _indented(whole, kept) if indented_code else set()
    references = frozenset(found[1].casefold() for line in whole if (found := _REFERENCE.match(line)))
    tables = _tables(whole, kept)
    for n, line in enumerate(whole):
        if n in kept or any(kind.fullmatch(line.strip()) for kind in (_PATH, _REFERENCE, _DIRECTIVE)):
            yield Block(line, False, n + 1)
        elif n in tables:
            yield from _cells(line, n + 1, references)
        else:
            yield from _line(line, n + 1, references)


def outside_code(parts: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Whole lines that come by and by, and whether they are a fenced code block; a fence stays open until it closes."""
    fence, before = "", ""
    for part in parts:
        run, is_code = "", bool(fence)
        for line in lines(part):
            mark = FENCE.fullmatch(line.rstrip())
            opens = bool(mark) and not fence and bool(mark[2] or not underlines(mark[1], before))  # type: ignore[index]
            if opens and run:
                yield run, is_code
                run = ""
            is_code = is_code or opens
            run += line
            if mark and opens:
                fence = mark[1]
            elif mark and fence and not mark[2] and mark[1].startswith(fence):
                yield run, True
                fence, run, is_code = "", "", False
            before = line
        if run:
            yield run, is_code


def _front(lines: Sequence[str]) -> set[int]:
    """The lines of YAML or TOML front matter: a title and its kind, read by programs."""
    if not lines or lines[0].strip() not in ("---", "+++"):
        return set()
    mark = lines[0].strip()
    for n, line in enumerate(lines[1:], 1):
        if line.strip() == mark or (mark == "---" and line.strip() == "..."):
            return set(range(n + 1)) if n > 1 else set()
        if mark == "---" and not _FRONT.match(line):
            return set()
    return set()


def _raw(lines: Sequence[str], kept: set[int]) -> set[int]:
    """The lines of HTML comments, scripts, styles, preformatted text and displayed formulas."""
    found: set[int] = set()
    n = 0
    while n < len(lines):
        ending = next((end for begin, end in _RAW if begin.match(lines[n])), None) if n not in kept else None
        last = _closing(lines, n, ending) if ending else None
        if last is not None:
            found.update(range(n, last + 1))
            n = last
        n += 1
    return found


def _closing(lines: Sequence[str], first: int, ending: str) -> int | None:
    """The line where what began in `first` ends, with nothing behind it; None where it does not."""
    for n in range(first + (ending == "$$"), len(lines)):
        before, found, after = lines[n].lower().partition(ending)
        if found:
            return n if not after.strip() and (n > first or before.strip()) else None
    return None


def _indented(lines: Sequence[str], kept: set[int]) -> set[int]:
    """The lines of Markdown's indented code: behind a blank line, and not in a list."""
    found: set[int] = set()
    listed, ready = False, True
    for n, line in enumerate(lines):
        deep = line.startswith(("    ", "\t"))
        if not line.strip():
            ready = True
            continue
        if deep and ready and not listed and n not in kept:
            found.add(n)
            continue
        ready = False
        if not deep:
            marks = _MARKS.match(line)
            listed = bool(marks and re.search(r"[-*+\d]", marks[0])) or (listed and line[0] in " \t")
    return found


def _tables(lines: Sequence[str], kept: set[int]) -> set[int]:
    """The lines of tables: around a row of delimiters, or between bars at both ends."""
    found: set[int] = set()
    for n, line in enumerate(lines):
        bare = line.strip().lstrip("> ")
        if n in kept or "|" not in bare:
            continue
        if bare.startswith("|") and bare.endswith("|") and len(bare) > 2:
            found.add(n)
        elif _DELIMITERS.fullmatch(line) and n and "|" in lines[n - 1]:
            found.update((n - 1, n))
        elif n - 1 in found and n > 1:
            found.add(n)
    return found - kept


def _cells(line: str, number: int, references: frozenset[str]) -> Iterator[Block]:
    marks = _MARKS.match(line)
    place = marks.end() if marks else 0
    if place:
        yield Block(line[:place], False, number)
    while place < len(line):
        found = _CELL.match(line, place)
        end = found.end() if found else place
        if end > place:
            yield Block(line[place:end], True, number, escape=_in_cell, references=references)
        if end < len(line):
            yield Block(line[end], False, number)
        place = end + 1


def _in_cell(words: str) -> str:
    """A translator's words in a table, where a bar would end the cell."""
    return words.replace("|", "\\|")


def _line(line: str, number: int, references: frozenset[str]) -> Iterator[Block]:
    marks, heading = _MARKS.match(line), _HEADING.fullmatch(line)
    start = marks.end() if marks else 0
    end = heading.start(1) if heading and heading.start(1) > start else len(line)
    if start:
        yield Block(line[:start], False, number)
    if start < end:
        yield Block(line[start:end], True, number, references=references)
    if end < len(line):
        yield Block(line[end:], False, number)
