"""Documents: texts from files and standard input, decoded or refused with one clear line."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lmcli.errors import InputError


@dataclass(frozen=True)
class Document:
    """A text and the file it came from; `name` is None for standard input, `encoding` what it was read as."""

    name: str | None
    text: str
    encoding: str = "utf-8"
    inline: bool = False  # given on the command line, or a line of a file

    @property
    def title(self) -> str:
        return self.name or "standard input"


def read_all(names: Sequence[str], stdin: BinaryIO) -> list[Document]:
    """The documents of FILE arguments; `-`, or no name at all, is standard input.

    Raises InputError for a file that is missing, unreadable, binary, empty or in an unknown encoding.
    """
    if list(names).count("-") > 1:
        raise InputError("standard input can be read only once", "give '-' once")
    return [read_stdin(stdin) if name == "-" else read_file(name) for name in names or ["-"]]


def read_texts(arguments: Sequence[str], stdin: BinaryIO) -> list[Document]:
    """The documents of TEXT or FILE arguments: one that names a file is read, any other is a text itself.

    Raises InputError as `read_all` does, also for an argument that looks like the name of a file that is not there.
    """
    if list(arguments).count("-") > 1:
        raise InputError("standard input can be read only once", "give '-' once")
    return [_text_or_file(argument, stdin) for argument in arguments or ["-"]]


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


def read_file(name: str) -> Document:
    """The text of one file."""
    with file_errors(name):
        data = Path(name).expanduser().read_bytes()
    return _document(data, name)


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


def read_stdin(stdin: BinaryIO) -> Document:
    """The text of standard input, to its end."""
    try:
        data = stdin.read()
    except OSError as error:
        raise InputError(f"standard input cannot be read: {error.strerror or error}") from None
    return _document(data, None)


def decode(data: bytes, title: str) -> tuple[str, str]:
    """The text of `data` and the encoding it has.

    UTF-8, UTF-16 or UTF-32 by its byte order mark, then UTF-8, then a legacy East Asian encoding where the
    text plainly reads as one. Raises InputError, naming `title`, for anything else and for binary data.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _decode_marked(data, encoding, title), encoding
    _refuse_binary(data, title)
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        legacy = _legacy_encoding(data)
        if legacy:
            return data.decode(legacy), legacy
        raise InputError(
            f"{title} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
            "convert it first: iconv -f ENCODING -t UTF-8",
        ) from None


# The mark of UTF-32 begins with that of UTF-16, so it is asked for first.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What is plainly meant as a file: judging the words "reviews.txt" would hide the slip.
_FILE_NAME = re.compile(r"(?:~|\.{0,2})/\S+|\S+\.(?:txt|md|rst|csv|tsv|jsonl?|log|html?|xml|pdf|docx?)", re.I)
_FORMATS = {
    b"%PDF": ("a PDF", "extract its text first: pdftotext FILE - | lmcli …"),
    b"PK\x03\x04": (
        "an archive or an office document",
        "extract its text first: pandoc -t plain FILE | lmcli …",
    ),
}
# Text files do hold some: bell, backspace, tab, line ends, form feed, DOS's end of file, escape.
_CONTROLS = re.compile(rb"[\x00-\x06\x0b\x0e-\x19\x1c-\x1f\x7f]")
_CONTROL_SHARE = 0.02
# What half of any page in these languages is made of: the proof that an encoding was guessed right.
_FREQUENT = {
    "gb18030": "的一是不了在有人我他这中大来上个国很好和也到说要就出会可你对生能而子那得于着下自之年",
    "big5": "的一是不了在有人我他這中大來上個國很好和也到說要就出會可你對生能而子那得於著下自之年",
    "cp932": "のにはをたがでてとしれさいるなもっかすりこ",
    "euc_jp": "のにはをたがでてとしれさいるなもっかすりこ",
    "cp949": "이다는을가에의고하지도로은를서한어그기사",
}
_FREQUENT_SHARE = 0.08


def _text_or_file(argument: str, stdin: BinaryIO) -> Document:
    if argument == "-":
        return read_stdin(stdin)
    if not argument.strip():
        raise InputError("the text is empty", "give a TEXT, a FILE, or '-' for standard input")
    if names_file(argument):
        return read_file(argument)
    return Document(None, argument, inline=True)


def _exists(argument: str) -> bool:
    try:
        return Path(argument).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # A long text is no name of a file.
        return False


def _document(data: bytes, name: str | None) -> Document:
    title = name or "standard input"
    text, encoding = decode(data, title)
    if not text.strip():
        raise InputError(f"{title} is empty", "name a FILE with text in it, or pipe some: cat notes.txt | lmcli …")
    return Document(name, text, encoding)


def _decode_marked(data: bytes, encoding: str, title: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise InputError(f"{title} is broken {name} at byte {error.start}", "save it again as UTF-8") from None
    if "\0" in text:
        raise InputError(f"{title} is not text", "name a text file")
    return text


def _refuse_binary(data: bytes, title: str) -> None:
    for magic, (what, hint) in _FORMATS.items():
        if data.startswith(magic):
            raise InputError(f"{title} is {what}, not text", hint)
    controls = len(_CONTROLS.findall(data))
    if b"\0" in data or controls > _CONTROL_SHARE * len(data):
        raise InputError(f"{title} is a binary file, not text", "name a text file")


def _legacy_encoding(data: bytes) -> str | None:
    """The one encoding under which `data` is made of its language's frequent characters; the door to
    charset_normalizer, whose own first guess is often Korean for a short Chinese text."""
    from charset_normalizer import from_bytes

    shares = {}
    for match in from_bytes(data, cp_isolation=list(_FREQUENT), enable_fallback=False):
        text = str(match)
        letters = [c for c in text if ord(c) > 0x2E7F]
        frequent = set(_FREQUENT.get(match.encoding, ""))
        shares[match.encoding] = sum(c in frequent for c in letters) / max(len(letters), 1)
    best = max(shares, key=lambda name: shares[name], default=None)
    if best is None or shares[best] < _FREQUENT_SHARE:
        return None
    try:
        data.decode(best)
    except UnicodeDecodeError:
        return None
    return best
