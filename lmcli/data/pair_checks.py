"""Pair checks: whether the two sides of a translation can be translations of one another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from lmcli.data.examples import Example
from lmcli.data.findings import Checked, Finding
from lmcli.data.splitting import same_text
from lmcli.text.language import is_written_in, language

RATIO = 6.0  # times as long as the other is no translation
_SHORT = 30.0  # letters, of which even six times as many may be right
_PROSE = 3  # words that a text must have to be no name, which may stay what it is
_SWAPPED = 0.5  # of all rows, from which on it is the columns that are wrong
_WORD = re.compile(r"\S*[^\W\d_]{2}\S*")
# One character of these scripts stands for about three Latin letters.
_DENSE = re.compile("[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")


def check_pairs(data: Checked) -> Checked:
    """Without the pairs to train on whose sides are the same, of very unlike length, or in another script."""
    wrong = [example for example in data.train if _is_elsewhere(example)]
    if len(wrong) > _SWAPPED * len(data.train) and len(wrong) > 1:
        example = wrong[0]
        source, target = (language(code).name for code in example.languages or ("en", "en"))
        message = f"most texts are not in the script of their language: source {source}, target {target}"
        return data.told(
            Finding("script", "error", message, (example.place,), "name the languages or columns the other way round")
        )
    elsewhere = set(map(id, wrong))
    checks: tuple[tuple[str, str, Callable[[Example], bool]], ...] = (
        ("script", "a side not in the script of its language", lambda one: id(one) in elsewhere),
        ("untranslated", "the translation the same as the source", _is_untranslated),
        ("ratio", f"one side more than {RATIO:.0f} times as long as the other", _is_unlike),
    )
    for kind, reason, bad in checks:
        data = data.without(kind, reason, bad, validation=False)
    return data


def _is_elsewhere(example: Example) -> bool:
    if example.languages is None:
        return False
    sides: Iterable[tuple[str, str]] = zip(example.languages, (example.text, example.answer), strict=True)
    return any(not is_written_in(code, side) and _is_prose(side) for code, side in sides)


def _is_untranslated(example: Example) -> bool:
    return same_text(example.text) == same_text(example.answer) and _is_prose(example.text)


def _is_unlike(example: Example) -> bool:
    short, long = sorted((_length(example.text), _length(example.answer)))
    return long > _SHORT and long > RATIO * short


def _is_prose(text: str) -> bool:
    """Whether it is more than a name or two; a character of a dense script counts as a word."""
    return len(_WORD.findall(text)) >= _PROSE or len(_DENSE.findall(text)) >= _PROSE


def _length(text: str) -> float:
    """In Latin letters."""
    return len(text) + (0.0 if text.isascii() else 2.0 * len(_DENSE.findall(text)))
