"""Streaming: a file or standard input as lines of text, decoded as they are read, so that its size does not matter."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from lmcli.errors import InputError
from lmcli.text.documents import decode, file_errors

_HEAD = 1 << 20  # bytes that an encoding is told by
# The mark of UTF-32 begins with that of UTF-16, so it is asked for first.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


class ByteStream(io.RawIOBase):
    """Bytes whose beginning may be looked at before they are read; `position` counts those that were."""

    def __init__(self, stream: BinaryIO | IO[bytes], title: str) -> None:
        self._stream, self.title = stream, title
        self._ahead = b""
        self.position = 0

    def head(self) -> bytes:
        """The first bytes up to a megabyte, or of a pipe what came with its first line that is not blank."""
        while len(self._ahead) < _HEAD and b"\n" not in self._ahead.lstrip():
            more = self._more(_HEAD - len(self._ahead))
            if not more:
                break
            self._ahead += more
        return self._ahead

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def readinto(self, buffer: Any) -> int:
        data = self._ahead[: len(buffer)] or self._more(len(buffer))
        self._ahead = self._ahead[len(data) :]
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def _more(self, size: int) -> bytes:
        """What a pipe has to give by now: the first lines are not to wait for the last."""
        try:
            data: bytes = getattr(self._stream, "read1", self._stream.read)(size)
        except OSError as error:
            raise InputError(f"{self.title} cannot be read: {error.strerror or error}") from None
        return data


@contextmanager
def opened(name: str | None, piped: ByteStream) -> Iterator[ByteStream]:
    """The bytes of a file, or `piped` where `name` is None. Raises InputError where there is none."""
    if name is None:
        yield piped
        return
    with file_errors(name):
        file = open(Path(name).expanduser(), "rb")  # noqa: SIM115
    with file:
        yield ByteStream(file, name)


def encoding_of(head: bytes, title: str) -> str:
    """The encoding that the first bytes of a text are in.

    A text most of whose lines are UTF-8 is, and the others are damaged. Raises InputError for binary data and for an
    encoding that is not known.
    """
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if marked:
        return marked
    try:
        return decode(_whole_characters(head), title)[1]
    except InputError:
        lines = head.split(b"\n")
        if b"\0" in head or 2 * sum(map(_is_utf8, lines)) <= len(lines):
            raise
        return "utf-8"


def text_of(stream: ByteStream, encoding: str) -> io.TextIOWrapper:
    """The lines of `stream`, each with its end. A byte that is none of `encoding`'s becomes a lone surrogate."""
    wide = encoding.startswith(("utf-16", "utf-32"))
    return io.TextIOWrapper(
        io.BufferedReader(stream), encoding, errors="replace" if wide else "surrogateescape", newline=""
    )


def _whole_characters(head: bytes) -> bytes:
    """`head` without the character that its end cuts in two."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(head)
    except UnicodeDecodeError:
        return head[: head.rfind(b"\n") + 1] or head
    return head[: len(head) - len(decoder.getstate()[0])]


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
