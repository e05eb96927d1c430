"""Documents: texts from files and standard input, decoded or refused with one clear line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Literal

from lmcli.errors import InputError
from lmcli.text.encodings import decode

Kind = Literal["text", "markdown", "html"]


@dataclass(frozen=True)
class Document:
    """A text and the file it came from; `name` is None for standard input, `encoding` what it was read as."""

    name: str | None
    text: str
    encoding: str = "utf-8"
    inline: bool = False  # given on the command line, or a line of a file
    kind: Kind = field(default="text", kw_only=True)

    @property
    def title(self) -> str:
        return self.name or "standard input"

    @cached_property
    def readable(self) -> str:
        """What there is to read: of an HTML page its main text without tags, of any other kind `text`.

        Raises InputError for a page without text.
        """
        if self.kind != "html":
            return self.text
        from lmcli.text.webpage import readable

        text = readable(self.text)
        if not text:
            raise InputError(f"{self.title} is a page without text", "save it from a browser, which runs its scripts")
        return text


def read_all(names: Sequence[str], stdin: BinaryIO, encoding: str | None = None) -> list[Document]:
    """The documents of FILE arguments; `-`, or no name at all, is standard input. `encoding` None is found out.

    Raises InputError for a file that is missing, unreadable, binary, empty or in an unknown encoding.
    """
    if list(names).count("-") > 1:
        raise InputError("standard input can be read only once", "give '-' once")
    return [read_stdin(stdin, encoding) if name == "-" else read_file(name, encoding) for name in names or ["-"]]


def read_texts(arguments: Sequence[str], stdin: BinaryIO, encoding: str | None = None) -> list[Document]:
    """The documents of TEXT or FILE arguments: one that names a file is read, any other is a text itself.

    Raises InputError as `read_all` does, also for an argument that looks like the name of a file that is not there.
    """
    if list(arguments).count("-") > 1:
        raise InputError("standard input can be read only once", "give '-' once")
    return [_text_or_file(argument, stdin, encoding) for argument in arguments or ["-"]]


def names_file(argument: str) -> bool:
    """Whether a TEXT or FILE argument is a file, or looks like the name of one that is not there."""
    return _exists(argument) or bool(_FILE_NAME.fullmatch(argument))


def read_prompt(argument: str | None, stdin: BinaryIO) -> str:
    """The prompt of an argument, and below it what is piped in; `-`, or no argument, is standard input alone.

    Raises InputError where both are empty, or standard input is no text.
    """
    prompt = "" if argument in (None, "-") else str(argument)
    if not prompt:
        return read_stdin(stdin).text.removesuffix("\n")
    piped = "" if stdin.isatty() else decode(stdin.read(), "standard input")[0]
    return f"{prompt}\n\n{piped}".removesuffix("\n") if piped.strip() else prompt


def read_file(name: str, encoding: str | None = None) -> Document:
    """The text of one file."""
    with file_errors(name):
        data = Path(name).expanduser().read_bytes()
    return _document(data, name, encoding)


@contextmanager
def file_errors(name: str) -> Iterator[None]:
    """What may be wrong with a file, as an InputError of one line."""
    try:
        yield
    except IsADirectoryError:
        raise InputError(f"{name} is a directory", f"name its files: {Path(name) / '*.txt'}") from None
    except FileNotFoundError:
        raise InputError(f"{name} does not exist", "give a FILE, or '-' for standard input") from None
    except PermissionError:
        raise InputError(f"{name} may not be read: permission denied", f"chmod u+r {name}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_stdin(stdin: BinaryIO, encoding: str | None = None) -> Document:
    """The text of standard input, to its end."""
    try:
        data = stdin.read()
    except OSError as error:
        raise InputError(f"standard input cannot be read: {error.strerror or error}") from None
    return _document(data, None, encoding)


# What is plainly meant as a file: judging the words "reviews.txt" would hide the slip.
_FILE_NAME = re.compile(r"(?:~|\.{0,2})/\S+|\S+\.(?:txt|md|rst|csv|tsv|jsonl?|log|html?|xml|pdf|docx?)", re.I)
_KINDS: dict[str, Kind] = {
    ".html": "html", ".htm": "html", ".xhtml": "html", ".md": "markdown", ".markdown": "markdown", ".mdx": "markdown",
}  # fmt: skip
_PAGE = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--[^>]*-->\s*)*<(?:!doctype\s+html|html)\b", re.I)


def _text_or_file(argument: str, stdin: BinaryIO, encoding: str | None) -> Document:
    if argument == "-":
        return read_stdin(stdin, encoding)
    if not argument.strip():
        raise InputError("the text is empty", "give a TEXT, a FILE, or '-' for standard input")
    if names_file(argument):
        return read_file(argument, encoding)
    return Document(None, argument, inline=True)


def _exists(argument: str) -> bool:
    try:
        return Path(argument).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # A long text is no name of a file.
        return False


def _document(data: bytes, name: str | None, told: str | None) -> Document:
    title = name or "standard input"
    text, encoding = decode(data, title, told)
    if not text.strip():
        raise InputError(f"{title} is empty", "name a FILE with text in it, or pipe some: cat notes.txt | lmcli …")
    kind = _KINDS.get(Path(name or "").suffix.lower()) or ("html" if _PAGE.match(text) else "text")
    return Document(name, text, encoding, kind=kind)
