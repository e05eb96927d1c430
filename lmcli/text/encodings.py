"""Encodings: the text that bytes hold, by the encoding that is told or by the one they plainly are in."""

from __future__ import annotations

import codecs
import difflib
import io
import re

from lmcli.errors import InputError, UsageError

# The mark of UTF-32 begins with that of UTF-16, so it is asked for first.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


def decode(data: bytes, title: str, told: str | None = None) -> tuple[str, str]:
    """The text of `data` and the encoding it has: the one that is `told`, a name that `known` gave.

    Otherwise UTF-8, UTF-16 or UTF-32 by its byte order mark, UTF-8, UTF-16 that plainly is text, what an HTML page or
    an XML file says of itself, or a legacy East Asian encoding where the text plainly reads as one. Raises
    InputError, naming `title`, for anything else and for binary data.
    """
    if told:
        return _decode_told(data, told, title)
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            return _decode_marked(data, encoding, title), encoding
    wide = _unmarked_utf_16(data)
    if wide:
        return data.decode(wide), wide
    _refuse_binary(data, title)
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        legacy = _declared_encoding(data) or _legacy_encoding(data)
        if legacy:
            return data.decode(legacy), legacy
        raise InputError(
            f"{title} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
            "say what it is: --encoding latin-1 in Western Europe, or another name",
        ) from None


def known(name: str) -> str:
    """The codec's name of an encoding, in the widest sense it is used in: gb2312 and gbk are gb18030.

    Raises UsageError, with the nearest name, for one that there is not.
    """
    try:
        found = codecs.lookup(name.strip())
        io.TextIOWrapper(io.BytesIO(), found.name)  # base64 and rot13 are codecs too, but of no text
    except (LookupError, ValueError):
        near = difflib.get_close_matches(name.strip().casefold(), _NAMES, n=1, cutoff=0.75)
        hint = f"did you mean '{near[0]}'?" if near else f"such as {', '.join(_NAMES[:6])}"
        raise UsageError(f"unknown encoding '{name}'", hint) from None
    return _WIDER.get(found.name, found.name)


_NAMES = (
    "latin-1", "windows-1252", "gb18030", "big5", "shift_jis", "utf-16", "utf-8", "gbk", "gb2312", "euc-jp", "euc-kr",
    "cp949", "windows-1251", "windows-1250", "windows-1253", "windows-1254", "koi8-r", "iso-8859-2", "iso-8859-15",
    "utf-32", "iso-2022-jp", "mac-roman", "cp437", "cp850", "utf-16-le", "utf-16-be", "big5-hkscs",
)  # fmt: skip
# As browsers read these names (https://encoding.spec.whatwg.org/#names-and-labels): files that are called Latin-1
# have the quotation marks of Windows. The five bytes that Windows leaves undefined stay the controls they are.
_WIDER = {
    "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-1": "cp1252",
    "ascii": "cp1252", "big5": "big5hkscs", "iso8859-9": "cp1254", "utf-8": "utf-8-sig",
}  # fmt: skip
_NARROWER = {"cp1252": "latin-1", "big5hkscs": "cp950", "cp1254": "iso8859-9"}
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
_DECLARED = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)|^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]+)", re.I
)
# What nearly all of a text is made of, whatever its language; of a binary file it is not.
_COMMON = re.compile(
    r"[\t\n\r -~\u00a0-\u024f\u0370-\u052f\u2010-\u2026\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff5e]"
)
_SURE = 0.97
_ORDERS = ("utf-16-le", "utf-16-be")
# What half of any page in these languages is made of: the proof that an encoding was guessed right.
_FREQUENT = {
    "gb18030": "的一是不了在有人我他这中大来上个国很好和也到说要就出会可你对生能而子那得于着下自之年",
    "big5": "的一是不了在有人我他這中大來上個國很好和也到說要就出會可你對生能而子那得於著下自之年",
    "cp932": "のにはをたがでてとしれさいるなもっかすりこ",
    "euc_jp": "のにはをたがでてとしれさいるなもっかすりこ",
    "cp949": "이다는을가에의고하지도로은를서한어그기사",
}
_FREQUENT_SHARE = 0.08


def _decode_told(data: bytes, encoding: str, title: str) -> tuple[str, str]:
    _refuse_formats(data, title)
    for name in (encoding, _NARROWER.get(encoding)):
        try:
            text = data.decode(name).removeprefix("\ufeff") if name else ""
        except UnicodeDecodeError as error:
            if name == encoding and encoding in _NARROWER:
                continue
            raise InputError(
                f"{title} is not {encoding.upper()}: byte 0x{data[error.start]:02x} at offset {error.start}",
                "leave --encoding out to have it found, or name another",
            ) from None
        if "\0" in text:
            raise InputError(f"{title} is not text in {encoding.upper()}", "leave --encoding out to have it found")
        return text, str(name)
    raise AssertionError("the narrower encoding raises what the wider does")


def _decode_marked(data: bytes, encoding: str, title: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise InputError(f"{title} is broken {name} at byte {error.start}", "save it again as UTF-8") from None
    if "\0" in text:
        raise InputError(f"{title} is not text", "name a text file")
    return text


def _refuse_formats(data: bytes, title: str) -> None:
    for magic, (what, hint) in _FORMATS.items():
        if data.startswith(magic):
            raise InputError(f"{title} is {what}, not text", hint)


def _refuse_binary(data: bytes, title: str) -> None:
    _refuse_formats(data, title)
    controls = len(_CONTROLS.findall(data))
    if b"\0" in data or controls > _CONTROL_SHARE * len(data):
        raise InputError(f"{title} is a binary file, not text", "name a text file")


def _unmarked_utf_16(data: bytes) -> str | None:
    """The byte order of UTF-16 without a mark. Its spaces and line ends hold the zeros that no other text has."""
    if b"\0" not in data or len(data) % 2:
        return None
    beginning = data[: 1 << 16]
    # Read in the wrong order "a" is a Chinese character, and no character that is used becomes an ASCII one.
    ascii_characters = {name: _ascii_count(beginning[n::2], beginning[1 - n :: 2]) for n, name in enumerate(_ORDERS)}
    best = max(ascii_characters, key=lambda name: ascii_characters[name])
    return best if min(ascii_characters.values()) == 0 and _common_share(data, best) >= _SURE else None


def _ascii_count(low: bytes, high: bytes) -> int:
    return sum(not above and (32 <= byte < 127 or byte in b"\t\n\r") for byte, above in zip(low, high, strict=True))


def _common_share(data: bytes, encoding: str) -> float:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return 0.0
    return len(_COMMON.findall(text)) / len(text)


def _declared_encoding(data: bytes) -> str | None:
    """The encoding that a page or an XML file names at its beginning, where the bytes are in it."""
    found = _DECLARED.search(data[:4096])
    try:
        name = known((found[1] or found[2]).decode()) if found else None
        return _decode_told(data, name, "")[1] if name else None
    except (UsageError, InputError):
        return None


def _legacy_encoding(data: bytes) -> str | None:
    """The one encoding under which `data` is made of its language's frequent characters."""
    best = max(_FREQUENT, key=lambda encoding: _frequent_share(data, encoding))
    return best if _frequent_share(data, best) >= _FREQUENT_SHARE else None


def _frequent_share(data: bytes, encoding: str) -> float:
    """How many of the East Asian characters are among the language's most frequent; 0 of another encoding's bytes."""
    try:
        letters = [c for c in data.decode(encoding) if ord(c) > 0x2E7F]
    except UnicodeDecodeError:
        return 0.0
    frequent = set(_FREQUENT[encoding])
    return sum(c in frequent for c in letters) / max(len(letters), 1)
