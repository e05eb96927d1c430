"""Tokens and text: tokenizer.json through `tokenizers`, without transformers on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers

from lmcli.engine.chat_template import ChatTemplate, read_template
from lmcli.engine.files import read_json
from lmcli.errors import CheckpointError
from lmcli.types import Prompt


class Tokenizer(ABC):
    """What an engine needs of a tokenizer; `stop_ids` end an answer, `template` is None for a base checkpoint."""

    stop_ids: frozenset[int]
    template: ChatTemplate | None

    def encode(self, prompt: Prompt, think: bool = True) -> list[int]:
        """A conversation through the chat template, a string with the special tokens the checkpoint begins with.

        Raises CheckpointError for a conversation with a base checkpoint.
        """
        if isinstance(prompt, str):
            return self.encode_text(prompt)
        if self.template is None:
            raise CheckpointError(
                "this is a base checkpoint: it has no chat template",
                "use lmcli generate, or an instruct checkpoint",
            )
        return [token for piece in self.template.render(prompt, think) for token in self.encode_continuation(piece)]

    @abstractmethod
    def encode_text(self, text: str) -> list[int]:
        """The tokens of a whole text."""

    @abstractmethod
    def encode_continuation(self, text: str) -> list[int]:
        """The tokens of `text` where it goes on from something, without special tokens."""

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> str:
        """Their text, without special tokens."""

    @property
    def backend(self) -> tokenizers.Tokenizer | None:
        """The one of `tokenizers` that it rests on; None where it rests on none."""
        return None


class FastTokenizer(Tokenizer):
    """A checkpoint's tokenizer.json, chat template and stop ids."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        # Files written for training may cut or pad silently; here nothing is cut.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # Older checkpoints name their special tokens in a file of their own.
        config = read_json(folder / "special_tokens_map.json") | read_json(folder / "tokenizer_config.json")
        special = {name: _content(value) for name, value in config.items() if name.endswith("_token") and value}
        source = read_template(folder, config)
        added = self._tokenizer.get_added_tokens_decoder().values()
        marks = {token.content for token in added if token.special}
        self.template = ChatTemplate(source, special, marks, {token.content for token in added}) if source else None
        eos = special.get("eos_token")
        eos_id = self._tokenizer.token_to_id(eos) if eos else None
        self.stop_ids = read_stop_ids(folder) | (frozenset() if eos_id is None else frozenset({eos_id}))

    def encode_text(self, text: str) -> list[int]:
        return self._tokenizer.encode(text).ids

    def encode_continuation(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens))

    @property
    def backend(self) -> tokenizers.Tokenizer:
        return self._tokenizer


class Detokenizer:
    """Text as its tokens come, whole characters only.

    A token may hold half of a 汉字 or an emoji, and its text may depend on the one before it (a leading space), so
    the tokens since the last whole character are decoded together with those before.
    """

    def __init__(self, tokenizer: Tokenizer, context: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._tokens = list(context[-8:])
        self._start, self._shown = 0, len(self._tokens)

    def add(self, token: int) -> str:
        """What became readable with `token`; empty while a character is incomplete."""
        self._tokens.append(token)
        text = self._new()
        if not text or text.endswith("\ufffd"):
            return ""
        self._start, self._shown = self._shown, len(self._tokens)
        return text

    def finish(self) -> str:
        """What is left at the end, less a character that never became whole."""
        text = self._new().rstrip("\ufffd")
        self._shown = len(self._tokens)
        return text

    def _new(self) -> str:
        before = self._tokenizer.decode(self._tokens[self._start : self._shown])
        return self._tokenizer.decode(self._tokens[self._start :])[len(before) :]


def read_stop_ids(folder: Path) -> frozenset[int]:
    """Every end-of-turn id that generation_config.json and config.json name: instruct checkpoints have several."""
    ids: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        eos = read_json(folder / name).get("eos_token_id")
        ids |= set(eos) if isinstance(eos, list) else set() if eos is None else {eos}
    return frozenset(ids)


def _content(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token)
