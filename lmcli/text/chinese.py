"""Chinese: from one of its two ways of writing to the other, by phrases and not one by one, and where its words end."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

_WAYS = {("zh", "zh-Hant"): "s2t", ("zh-Hant", "zh"): "t2s"}


def conversion(source: str, target: str) -> Callable[[str], str] | None:
    """The conversion of OpenCC, behind whose door it waits; None between other languages, or where it is not
    installed."""
    return _opened(_WAYS[source, target]) if can_convert(source, target) else None


def can_convert(source: str, target: str) -> bool:
    return is_script(source, target) and find_spec("opencc") is not None


def is_script(source: str, target: str) -> bool:
    """Whether the two are one language in two ways of writing."""
    return (source, target) in _WAYS


def words(text: str) -> list[str]:
    """The words that make up `text`, by jieba's dictionary; where that is not installed its characters, two at a time,
    as most words have."""
    cut = _cut()
    return cut(text) if cut else [text[i : i + 2] for i in range(0, len(text), 2)]


@cache
def _cut() -> Callable[[str], list[str]] | None:
    if find_spec("rjieba") is None:
        return None
    from rjieba import cut

    found: Callable[[str], list[str]] = cut
    return found


@cache  # It reads its dictionaries.
def _opened(way: str) -> Callable[[str], str]:
    from opencc import OpenCC

    convert: Callable[[str], str] = OpenCC(way).convert
    return convert
