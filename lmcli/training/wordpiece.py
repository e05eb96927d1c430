"""A WordPiece tokenizer as a value: its pieces, what texts become with it, and its like with other pieces."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer
from transformers import AutoTokenizer

from lmcli.errors import CheckpointError

_BATCH = 5000  # texts
_MARK = re.compile(r"\[[A-Z]+\]")  # [CLS], [SEP], [PAD] …
# What tokenizer_config.json says of the tokens' places, which are others now.
_OUTDATED = ("added_tokens_decoder", "extra_special_tokens", "additional_special_tokens")


class WordPiece:
    """The tokenizer that `content` describes, a tokenizer.json. Raises CheckpointError where it is of another kind."""

    def __init__(self, content: dict[str, Any]) -> None:
        model = content["model"]
        if model.get("type", "WordPiece") != "WordPiece" or "vocab" not in model or "unk_token" not in model:
            raise CheckpointError("its vocabulary is not one of word pieces", "name an encoder like BERT or MiniLM")
        # Files written for training may cut or pad silently.
        self._content = content | {"truncation": None, "padding": None}
        self._tokenizer = Tokenizer.from_str(json.dumps(self._content, ensure_ascii=False))
        self.ids: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        # Not every file lists them as special.
        marked = {each["content"] for each in content["added_tokens"] if each["special"]}
        self.special = marked | {piece for piece in self.ids if _MARK.fullmatch(piece)}
        self.prefix: str = model["continuing_subword_prefix"]
        self._unknown = self.ids[model["unk_token"]]

    @classmethod
    def read(cls, folder: Path) -> WordPiece:
        """A checkpoint's. Raises CheckpointError where it has none."""
        file = folder / "tokenizer.json"
        try:
            if file.is_file():
                return cls(json.loads(file.read_text(encoding="utf-8")))
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            return cls(json.loads(tokenizer.backend_tokenizer.to_str()))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(f"cannot read the tokenizer of {folder}: {error}", "pull it again") from error

    @property
    def size(self) -> int:
        return max(self.ids.values()) + 1

    def encode(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """The tokens of each text, without those it begins and ends with."""
        for encoding in self._encode(texts):
            yield encoding.ids

    def counts(self, texts: Sequence[str]) -> Counter[int]:
        """How often the texts have each token."""
        return Counter(token for tokens in self.encode(texts) for token in tokens)

    def normalized(self, text: str) -> str:
        """The text as its pieces are looked up in it."""
        normalizer = self._tokenizer.normalizer
        return normalizer.normalize_str(text) if normalizer else text

    def unknowns(self, counts: Counter[int]) -> int:
        """How many of the tokens stand for something without a piece."""
        return counts[self._unknown]

    def with_pieces(self, pieces: Sequence[str]) -> WordPiece:
        """The same tokenizer with these pieces, numbered in their order."""
        ids = {piece: number for number, piece in enumerate(pieces)}
        content: dict[str, Any] = json.loads(json.dumps(self._content))
        content["model"]["vocab"] = ids
        content["added_tokens"] = [
            {**each, "id": ids[each["content"]]} for each in content["added_tokens"] if each["content"] in ids
        ]
        _renumber(content["post_processor"], ids)
        return WordPiece(content)

    def write(self, folder: Path) -> None:
        """tokenizer.json, and the files beside it that tell of the pieces' numbers too."""
        text = json.dumps(self._content, ensure_ascii=False, separators=(",", ":"))
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")
        if (folder / "vocab.txt").is_file():
            lines = sorted(self._content["model"]["vocab"], key=self.ids.__getitem__)
            (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        file = folder / "tokenizer_config.json"
        if file.is_file():
            config = json.loads(file.read_text(encoding="utf-8"))
            config = {name: value for name, value in config.items() if name not in _OUTDATED}
            file.write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    def _encode(self, texts: Sequence[str]) -> Iterator[Encoding]:
        for start in range(0, len(texts), _BATCH):
            yield from self._tokenizer.encode_batch_fast(texts[start : start + _BATCH], add_special_tokens=False)


def _renumber(processor: dict[str, Any] | None, ids: dict[str, int]) -> None:
    """Tell what puts the special tokens around a text of their new numbers."""
    for entry in (processor or {}).get("special_tokens", {}).values():
        entry["ids"] = [ids[token] for token in entry["tokens"]]
    for end in ("sep", "cls"):
        if processor and end in processor:
            processor[end][1] = ids[processor[end][0]]
