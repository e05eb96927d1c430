"""Spelling: a single token as people can read it, its leading space and the bytes of half a character included."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lmcli.engine.tokenizer import Tokenizer

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class Spelling:
    """What each token of a vocabulary stands for, by itself and whatever it follows."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._backend = tokenizer, tokenizer.backend
        self._added = frozenset(self._backend.get_added_tokens_decoder()) if self._backend else frozenset()
        # A byte-level vocabulary writes the space so.
        by_bytes = self._backend is not None and self._backend.token_to_id("Ġ") is not None
        self._bytes: Mapping[str, int] = byte_characters() if by_bytes else {}

    @property
    def by_vocabulary(self) -> bool:
        """Whether the vocabulary is at hand, whose spelling tells a leading space."""
        return self._backend is not None

    def __call__(self, token: int) -> str:
        """Its text; a byte that is no character alone as \\xe4, a token without any text as <17>."""
        raw = self._backend.id_to_token(token) if self._backend else None
        if raw is None:
            return self._tokenizer.decode([token]) or f"<{token}>"
        if token in self._added:
            return raw
        if byte := _BYTE.fullmatch(raw):
            return _readable(bytes.fromhex(byte[1]))
        if self._bytes and all(character in self._bytes for character in raw):
            return _readable(bytes(self._bytes[character] for character in raw))
        return raw.replace("▁", " ")


def byte_characters() -> dict[str, int]:
    """GPT-2's visible character for each byte: those of Latin-1 that print stand for themselves, the others follow
    from U+0100 on (Radford et al. 2019)."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printed)]
    return {chr(byte): byte for byte in printed} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def _readable(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
