"""Choices: questions with several answers of which one is right, in the forms that benchmarks write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lmcli.errors import InputError, UsageError

_LISTS = ("choices", "options", "endings", "candidates")
_LETTERS = "ABCDEFGH"
_NUMBERED = re.compile(r"(?:option|choice|ending|sol)_?(\d)", re.I)


class Choices(NamedTuple):
    """The texts to choose from and what they are called: A and B, or 1 and 2."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def named(self, answer: Any) -> str:
        """The text that an answer names: by its label, as it stands, or by its number from 0.

        Raises InputError where it names none.
        """
        wanted = answer.strip() if isinstance(answer, str) else answer
        if wanted in self.labels:
            return self.texts[self.labels.index(wanted)]
        if wanted in self.texts:
            return str(wanted)
        letters = _LETTERS[: len(self.texts)]
        if isinstance(wanted, str) and len(wanted) == 1 and wanted.upper() in letters:
            return self.texts[letters.index(wanted.upper())]
        if isinstance(wanted, str) and wanted.isdecimal():
            wanted = int(wanted)
        if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < len(self.texts):
            return self.texts[wanted]
        raise InputError(f"its answer {answer!r} is none of its {len(self.texts)} choices")


def choices_in(names: Sequence[str], wished: str | None, file: str) -> Callable[[Mapping[str, Any]], Choices]:
    """What reads the choices of a row: a list, ARC's {"text": […], "label": […]}, or a column for each of them.

    Raises UsageError where there are none.
    """
    one = wished or next((name for name in names if name.casefold() in _LISTS), None)
    if one:
        return lambda fields: _listed(fields, one)
    lettered = {name: name for name in names if len(name) == 1 and name in _LETTERS}
    numbered = {name: found[1] for name in names if (found := _NUMBERED.fullmatch(name))}
    columns = next((found for found in (lettered, numbered) if len(found) > 1), None)
    if columns is None:
        raise UsageError(
            f"{file} has no column for the choices; it has {', '.join(names)}", "name it: --second-field NAME"
        )
    return lambda fields: _each(fields, columns)


def _listed(fields: Mapping[str, Any], name: str) -> Choices:
    value = fields.get(name)
    texts, labels = (value.get("text"), value.get("label")) if isinstance(value, Mapping) else (value, None)
    if not isinstance(texts, list) or len(texts) < 2 or not all(isinstance(text, str) for text in texts):
        raise InputError(f"its field '{name}' holds no two or more choices")
    return Choices(tuple(texts), tuple(map(str, labels)) if isinstance(labels, list) else ())


def _each(fields: Mapping[str, Any], columns: Mapping[str, str]) -> Choices:
    filled = {label: fields[name] for name, label in columns.items() if fields.get(name)}
    if len(filled) < 2 or not all(isinstance(text, str) for text in filled.values()):
        raise InputError(f"its fields {', '.join(columns)} hold no two or more choices")
    return Choices(tuple(filled.values()), tuple(filled))
