"""Standard input that goes on: the lines that are there by now, while others are still to come."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from lmcli.errors import InputError
from lmcli.text.encodings import decode

_READ = 65536  # bytes at once, what a pipe holds
_MOST = 1 << 20  # bytes of one group: what comes faster than it is worked on is worked on in pieces of this size


@dataclass(frozen=True)
class Beginning:
    """What standard input has given by now; `ended` says that this is all."""

    data: bytes
    ended: bool


def is_live(stdin: BinaryIO) -> bool:
    """Whether more may come to standard input later: it is a pipe, a socket or a terminal."""
    try:
        return not stat.S_ISREG(os.fstat(stdin.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):  # It is no file of the system's.
        return False


def beginning(stdin: BinaryIO) -> Beginning:
    """The first lines, as many as are there once there is one."""
    return _group(stdin)


def groups(stdin: BinaryIO, begun: Beginning, encoding: str | None = None) -> Iterator[str]:
    """Whole lines, as many as are there each time; the last may lack its end.

    `encoding` is one whose line ends are those of ASCII; None is UTF-8. Raises InputError for a line that is not in it.
    """
    rest = b""
    while True:
        data = rest + begun.data
        end = len(data) if begun.ended else data.rfind(b"\n") + 1
        rest = data[end:]
        if end:
            yield _decoded(data[:end], encoding)
        if begun.ended:
            return
        begun = _group(stdin)


def _group(stdin: BinaryIO) -> Beginning:
    """What comes until there is a whole line and nothing more waits."""
    data = b""
    while len(data) < _MOST and (b"\n" not in data or _waits(stdin)):
        try:
            more = stdin.read1(_READ) if hasattr(stdin, "read1") else stdin.readline()
        except OSError as error:
            raise InputError(f"standard input cannot be read: {error.strerror or error}") from None
        if not more:
            return Beginning(data, ended=True)
        data += more
    return Beginning(data, ended=False)


def _waits(stdin: BinaryIO) -> bool:
    """Whether bytes, or the end, are there to be read at once; a system that cannot tell is not waited for."""
    try:
        return bool(select.select([stdin], [], [], 0)[0])
    except (OSError, ValueError):
        return False


def _decoded(data: bytes, encoding: str | None) -> str:
    if encoding:
        return decode(data, "standard input", encoding)[0]
    try:
        return data.decode("utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"standard input is not UTF-8: byte 0x{data[error.start]:02x} in line '{_line(data, error.start)}'",
            "say what it is: --encoding latin-1 in Western Europe, or another name",
        ) from None


def _line(data: bytes, at: int) -> str:
    start = data.rfind(b"\n", 0, at) + 1
    return data[start:at].decode(errors="replace")[-40:]
