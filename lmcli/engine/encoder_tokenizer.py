"""An encoder's tokens: tokenizer.json through `tokenizers`, many texts at once, each remembered for a while."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import tokenizers

from lmcli.engine.batches import part_quoted
from lmcli.engine.config import NotUnderstood
from lmcli.engine.files import read_json

# A task asks how long each text is, then has it classified. One this long is cut before that.
_REMEMBERED, _LONGEST_REMEMBERED = 2048, 2048  # texts, tokens


class EncoderTokenizer:
    """tokenizer.json with the special tokens a text begins and ends with; `longest` is None where it sets no limit.

    Raises NotUnderstood for a folder whose files transformers would not read as they stand.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise NotUnderstood("a tokenizer without tokenizer.json")
        config = read_json(folder / "tokenizer_config.json")
        _check_options(read_json(file), config)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(file))
        # Files written for training may cut or pad silently; here nothing is cut.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        if any(self._tokenizer.encode("a").type_ids):
            raise NotUnderstood("a tokenizer with token types")
        added = self._tokenizer.get_added_tokens_decoder().values()
        self._special = part_quoted(token.content for token in added if token.special)
        limit = config.get("model_max_length")
        # transformers writes 1e30 where there is none.
        self.longest = limit if isinstance(limit, int) and 0 < limit < 10**9 else None
        self._remembered: dict[str, list[int]] = {}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, whole."""
        new = [text for text in dict.fromkeys(texts) if text not in self._remembered]
        encoded = self._tokenizer.encode_batch_fast([self._special(text) for text in new])
        fresh = dict(zip(new, (each.ids for each in encoded), strict=True))
        tokens = [fresh[text] if text in fresh else self._remembered[text] for text in texts]
        self._remembered |= {text: ids for text, ids in fresh.items() if len(ids) <= _LONGEST_REMEMBERED}
        for text in list(islice(self._remembered, max(len(self._remembered) - _REMEMBERED, 0))):
            del self._remembered[text]
        return tokens


def _check_options(tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    """transformers obeys tokenizer_config.json where the two files differ; where they do, it shall."""
    if config.get("tokenizer_class") in ("PreTrainedTokenizerFast", "TokenizersBackend"):
        return
    normalizer, splitter = tokenizer.get("normalizer") or {}, tokenizer.get("pre_tokenizer") or {}
    if normalizer.get("type") == "BertNormalizer":
        _check("do_lower_case", config.get("do_lower_case", True), normalizer.get("lowercase"))
        _check("strip_accents", config.get("strip_accents"), normalizer.get("strip_accents"))
        chinese = config.get("tokenize_chinese_chars", True)
        _check("tokenize_chinese_chars", chinese, normalizer.get("handle_chinese_chars"))
    if splitter.get("type") == "ByteLevel":
        _check("add_prefix_space", config.get("add_prefix_space", False), splitter.get("add_prefix_space"))


def _check(name: str, said: Any, written: Any) -> None:
    if said != written:
        raise NotUnderstood(f"{name}={said!r} beside a tokenizer.json that says {written!r}")
