"""Fenced code blocks of Markdown: which lines of a text are code."""

from __future__ import annotations

import re
from collections.abc import Sequence

# A fence, perhaps in a quotation: its mark, and what the code is in.
FENCE = re.compile(r"[\s>]*(`{3,}(?=[^`]*$)|~{3,})\s*(.*)")


def fenced(lines: Sequence[str]) -> frozenset[int]:
    """The numbers of the lines in fenced code blocks, fences included. A fence that nothing closes is none."""
    inside: set[int] = set()
    opened, fence = 0, ""
    for n, line in enumerate(lines):
        mark = FENCE.fullmatch(line.rstrip()) if "```" in line or "~~~" in line else None
        if not mark:
            continue
        if not fence:
            opened, fence = (n, mark[1]) if mark[2] or not underlines(mark[1], lines[n - 1] if n else "") else (0, "")
        elif not mark[2] and mark[1].startswith(fence):
            inside.update(range(opened, n + 1))
            fence = ""
    return frozenset(inside)


def underlines(marks: str, title: str) -> bool:
    """Whether ~~~~~ is the line below a title, as reStructuredText has it."""
    return marks[0] == "~" and 0 < len(title.strip()) <= len(marks)
