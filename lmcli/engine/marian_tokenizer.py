"""Marian's tokenizer: sentencepiece for the source, a vocabulary of its own for the ids.

It answers the calls of a transformers tokenizer that our engine makes, and spares the seconds that importing
transformers takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece

from lmcli.engine.files import read_json
from lmcli.errors import CheckpointError

_SPECIAL = {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"}
_SETTINGS = {"source_lang", "target_lang", "model_max_length"}
# What says how transformers is to load it, or what it has in any case.
_IRRELEVANT = {
    "tokenizer_class", "name_or_path", "special_tokens_map_file", "clean_up_tokenization_spaces", "backend", "is_local",
    "eos_token", "unk_token", "pad_token", "transformers_version", "model_input_names", "local_files_only",
    "return_tensors",
}  # fmt: skip


def read_marian(folder: Path) -> MarianTokenizer | None:
    """The tokenizer of a Marian checkpoint; None where its settings or added tokens ask for more than this one does."""
    settings = read_json(folder / "tokenizer_config.json")
    named = read_json(folder / "special_tokens_map.json") | settings
    special = {_content(named.get(f"{name}_token") or token) for name, token in _SPECIAL.items()}
    added = {_content(token) for token in settings.pop("added_tokens_decoder", {}).values()}
    added |= set(read_json(folder / "added_tokens.json"))
    asked = {name for name, value in settings.items() if value} - _SETTINGS - _IRRELEVANT
    if asked or (special | added) - set(_SPECIAL.values()):
        return None
    return MarianTokenizer(folder, settings)


class MarianTokenizer:
    """Text to ids with `</s>` behind, and back.

    A mark `>>code<<` at the beginning of a text is one token. Raises CheckpointError where a file is missing or broken.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.source_lang, self.target_lang = settings.get("source_lang"), settings.get("target_lang")
        self.model_max_length: int = settings.get("model_max_length") or 512
        self._ids: dict[str, int] = read_json(folder / "vocab.json")
        self._tokens = {i: token for token, i in self._ids.items()}
        self._source, self._target = (_pieces(folder / f"{side}.spm") for side in ("source", "target"))
        if missing := [token for token in _SPECIAL.values() if token not in self._ids]:
            raise CheckpointError(f"{folder / 'vocab.json'} lacks {missing[0]}", "pull the checkpoint again")
        self.all_special_tokens = list(_SPECIAL.values())
        self.eos_token_id, self.unk_token_id, self.pad_token_id = (self._ids[token] for token in _SPECIAL.values())

    def __call__(self, text: str, truncation: bool = False) -> dict[str, list[int]]:
        """The ids of a whole text."""
        ids = [self.convert_tokens_to_ids(token) for token in self.tokenize(text)]
        return {"input_ids": [*ids, self.eos_token_id]}

    def tokenize(self, text: str) -> list[str]:
        mark, end, rest = text.partition("<<")
        if mark.startswith(">>") and end:
            return [mark + end, *self._source.encode(rest, out_type=str)]
        pieces: list[str] = self._source.encode(text, out_type=str)
        return pieces

    def convert_tokens_to_ids(self, token: str) -> int:
        return self._ids.get(token, self.unk_token_id)

    def get_vocab(self) -> dict[str, int]:
        return self._ids

    def decode(self, tokens: Sequence[int], **options: Any) -> str:
        """Their text, without special tokens."""
        special = {self.eos_token_id, self.unk_token_id, self.pad_token_id}
        pieces = [self._tokens[token] for token in tokens if token not in special and token in self._tokens]
        text: str = self._target.decode_pieces(pieces)
        return text.replace("▁", " ").strip()


def _pieces(file: Path) -> Any:
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(file))
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"cannot read {file}: {error}", "pull the checkpoint again") from error


def _content(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token)
