"""Pairs: a question and a stretch of a text, as an encoder that was trained to answer from texts takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import tokenizers

from lmcli.engine.config import NotUnderstood
from lmcli.engine.encoder_tokenizer import EncoderTokenizer


@dataclass(frozen=True)
class Piece:
    """The tokens of a text, without special ones, and the characters each stands for."""

    tokens: list[int]
    offsets: list[tuple[int, int]]


@dataclass(frozen=True)
class Frame:
    """The special tokens before a question, between it and a text, and behind that; and the types of all five."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    behind: tuple[int, ...]
    types: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.behind)

    def around(self, question: Sequence[int], text: Sequence[int]) -> tuple[list[int], list[int]]:
        """The tokens of the pair and their types."""
        parts = (self.before, question, self.between, text, self.behind)
        types = [kind for part, kind in zip(parts, self.types, strict=True) for _ in part]
        return [token for part in parts for token in part], types


class PairTokenizer(EncoderTokenizer):
    """An encoder's tokenizer that says where in a text a token stands.

    Raises NotUnderstood for one that frames pairs in a way of its own.
    """

    def __init__(self, folder: Path, model_type: str) -> None:
        super().__init__(folder, model_type)
        self.frame = _frame(self._tokenizer)
        # A special token that a text quotes stays text, and no space need part it, which would move the offsets.
        self._tokenizer.encode_special_tokens = True

    def piece(self, text: str) -> Piece:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return Piece(encoding.ids, encoding.offsets)


def _frame(tokenizer: tokenizers.Tokenizer) -> Frame:
    """What the tokenizer puts around two texts, read off a pair of the shortest."""
    encoding = tokenizer.encode("a", "a")
    places = groupby(zip(encoding.ids, encoding.type_ids, encoding.sequence_ids, strict=True), key=lambda each: each[2])
    parts = [(side, list(part)) for side, part in places]
    types = [{kind for _, kind, _ in part} for _, part in parts]
    if [side for side, _ in parts] != [None, 0, None, 1, None] or any(len(kinds) > 1 for kinds in types):
        raise NotUnderstood("a tokenizer that frames pairs in a way of its own")
    before, between, behind = (tuple(token for token, _, _ in parts[i][1]) for i in (0, 2, 4))
    return Frame(before, between, behind, tuple(kinds.pop() for kinds in types))
