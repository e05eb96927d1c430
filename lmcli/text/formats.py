"""Formats: how a file of each kind is read as blocks of text that can be translated in their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath

from lmcli.text import catalogue, hypertext, markdown, subtitles
from lmcli.text.layout import Block


@dataclass(frozen=True)
class Format:
    """A kind of document; the blocks of a text, joined by their originals, are the text."""

    name: str
    blocks: Callable[[str], Iterator[Block]]


TEXT = Format("text", markdown.blocks)
FORMATS = {
    form.name: form
    for form in (
        TEXT,
        Format("markdown", partial(markdown.blocks, indented_code=True)),
        Format("html", hypertext.blocks),
        Format("srt", subtitles.blocks),
        Format("vtt", subtitles.blocks),
        Format("po", catalogue.blocks),
    )
}
_SUFFIXES = {
    ".md": "markdown", ".markdown": "markdown", ".mdx": "markdown", ".html": "html", ".htm": "html", ".xhtml": "html",
    ".srt": "srt", ".vtt": "vtt", ".po": "po", ".pot": "po",
}  # fmt: skip
_TIMES = r"[ \t]*[\d:]+[,.]\d+[ \t]*-->[ \t]*[\d:]+[,.]\d+"
_SIGNS = (
    ("vtt", re.compile(r"\ufeff?WEBVTT\b")),
    ("srt", re.compile(rf"\ufeff?\s*\d+[ \t]*\r?\n{_TIMES}")),
    ("po", re.compile(r"(?:\ufeff?(?:#.*|\s*)\r?\n)*(?:msgctxt|msgid) \"")),
    ("html", re.compile(r"\ufeff?\s*(?:<\?xml[^>]*>\s*)?(?:<!doctype html|<html|<head|<body)\b", re.I)),
)


def format_of(name: str | None) -> Format | None:
    """The format that a file's name tells."""
    found = _SUFFIXES.get(PurePath(name or "").suffix.lower())
    return FORMATS[found] if found else None


def format_in(text: str) -> Format:
    """The format that a text plainly has; plain text where it could be that."""
    return next((FORMATS[name] for name, pattern in _SIGNS if pattern.match(text)), TEXT)
