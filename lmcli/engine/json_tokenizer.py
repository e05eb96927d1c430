"""A translator's tokenizer.json, read by `tokenizers` alone.

It answers the calls of a transformers tokenizer that our engine makes, and spares the seconds that importing
transformers takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from lmcli.engine.files import read_json
from lmcli.errors import CheckpointError

_FILE = "tokenizer.json"
_PLAIN = {"PreTrainedTokenizerFast", "TokenizersBackend"}  # classes that add nothing to the file
_NAMED = {"eos_token", "pad_token", "unk_token", "extra_special_tokens", "additional_special_tokens"}
_LENGTH = "model_max_length"
# What says how transformers is to load it, or asks for nothing when it is written so.
_IRRELEVANT = {
    "tokenizer_class", "name_or_path", "backend", "is_local", "local_files_only", "transformers_version",
    "clean_up_tokenization_spaces", "model_input_names", "added_tokens_decoder", "return_tensors", "padding_side",
    "truncation_side", "special_tokens_map_file",
}  # fmt: skip


def read_json_tokenizer(folder: Path) -> JsonTokenizer | None:
    """The tokenizer of a folder; None where there is no tokenizer.json, or its settings ask for more than it says."""
    settings = read_json(folder / "special_tokens_map.json") | read_json(folder / "tokenizer_config.json")
    asked = {name for name, value in settings.items() if value} - _NAMED - _IRRELEVANT - {_LENGTH}
    if asked or settings.get("tokenizer_class") not in _PLAIN or not (folder / _FILE).is_file():
        return None
    tokenizer = _open(folder / _FILE)
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    if not {token for name in _NAMED for token in _tokens(settings.get(name))} <= added:
        return None  # transformers would add them.
    return JsonTokenizer(tokenizer, settings)


class JsonTokenizer:
    """Text to ids with what the file puts at their ends, and back."""

    source_lang = target_lang = None  # It says so by its marks.

    def __init__(self, tokenizer: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> None:
        self._tokenizer = tokenizer
        # Files of training runs may cut or pad silently; here nothing is cut.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.model_max_length: int = settings.get(_LENGTH) or 512
        added = tokenizer.get_added_tokens_decoder().values()
        self.all_special_tokens = [token.content for token in added if token.special]
        self.eos_token_id, self.unk_token_id, self.pad_token_id = (
            next(map(tokenizer.token_to_id, _tokens(settings.get(f"{name}_token"))), None)
            for name in ("eos", "unk", "pad")
        )

    def __call__(self, text: str, truncation: bool = False) -> dict[str, list[int]]:
        """The ids of a whole text."""
        return {"input_ids": self._tokenizer.encode(text).ids}

    def tokenize(self, text: str) -> list[str]:
        tokens: list[str] = self._tokenizer.encode(text, add_special_tokens=False).tokens
        return tokens

    def convert_tokens_to_ids(self, token: str) -> int | None:
        found: int | None = self._tokenizer.token_to_id(token)
        return self.unk_token_id if found is None else found

    def get_vocab(self) -> dict[str, int]:
        return self._tokenizer.get_vocab()

    def decode(self, tokens: Sequence[int], **options: Any) -> str:
        """Their text, without special tokens."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)


def _open(file: Path) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises no class of its own.
        raise CheckpointError(f"cannot read {file}: {error}", "pull the checkpoint again") from error


def _tokens(value: Any) -> list[str]:
    """The tokens that a setting names: one, several, as text or with their options."""
    values = value if isinstance(value, list) else list(value.values()) if _is_named(value) else [value]
    return [str(token["content"]) if isinstance(token, Mapping) else str(token) for token in values if token]


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and "content" not in value
