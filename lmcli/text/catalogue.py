"""Message catalogues (.po, .pot): each message's translation is put where it belongs, and all else stays.

The file is read line by line and written back so: comments, references, flags, contexts, the order of the entries and
the way long strings are broken are what they were. An entry that has a translation keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lmcli.text.layout import Block
from lmcli.text.segment import lines

_KEYWORD = re.compile(r'(msgctxt|msgid_plural|msgid|msgstr(?:\[(\d+)\])?)\s*"(.*)"\s*')
_MORE = re.compile(r'\s*"(.*)"\s*')
_PLURALS = re.compile(r"nplurals\s*=\s*(\d+)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


@dataclass(frozen=True)
class _Field:
    """A keyword with its string: `raw` is its lines as they stand, from line `number`."""

    keyword: str
    text: str
    raw: str
    number: int


def blocks(text: str, overwrite: bool = False) -> Iterator[Block]:
    """The blocks of a catalogue; with `overwrite` messages that have a translation are translated, too."""
    plurals, messages = 2, dict[str, str]()
    for field in _fields(text):
        if field.keyword == "msgid":
            messages = {}
        messages[field.keyword] = field.text
        if not field.keyword.startswith("msgstr"):
            yield Block(field.raw, False, field.number)
            continue
        if not messages.get("msgid"):  # the header
            found = _PLURALS.search(field.text)
            plurals = int(found[1]) if found else plurals
        source = _source(field, messages, plurals)
        if source and (overwrite or not field.text):
            yield _message(field, source)
        else:
            yield Block(field.raw, False, field.number)


def _source(field: _Field, messages: dict[str, str], plurals: int) -> str:
    """What `field` is the translation of: the singular for the first of several forms, else the plural."""
    if "msgid_plural" in messages and (plurals == 1 or field.keyword != "msgstr[0]"):
        return messages["msgid_plural"]
    return messages.get("msgid", "")


def _message(field: _Field, source: str) -> Block:
    ending = field.raw[len(field.raw.rstrip("\r\n")) :]
    newline = "\r\n" if "\r\n" in field.raw else "\n"

    def store(text: str) -> str:
        strings = [f'"{_escaped(line)}"' for line in lines(text)]
        if len(strings) > 1:
            strings.insert(0, '""')
        return f"{field.keyword} " + newline.join(strings) + ending

    return Block(source, True, field.number, field.raw, store)


def _fields(text: str) -> Iterator[_Field]:
    """The fields of all entries, and what stands between them under no keyword."""
    group: list[str] = []
    keyword, said, start = "", "", 1
    for number, line in enumerate(lines(text), 1):
        begins, more = _KEYWORD.fullmatch(line), _MORE.fullmatch(line) if keyword else None
        if more:
            group.append(line)
            said += _unescaped(more[1])
            continue
        if begins or keyword or not group:
            if group:
                yield _Field(keyword, said, "".join(group), start)
            group, start = [], number
            keyword, said = (begins[1], _unescaped(begins[3])) if begins else ("", "")
        group.append(line)
    if group:
        yield _Field(keyword, said, "".join(group), start)


def _unescaped(string: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), string)


def _escaped(text: str) -> str:
    for name, character in (("\\", "\\"), ('"', '"'), ("n", "\n"), ("t", "\t"), ("r", "\r")):
        text = text.replace(character, f"\\{name}")
    return text
