"""An encoder's tokens: its tokenizer through `tokenizers`, many texts at once, each remembered for a while."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from lmcli.engine.batches import Spelled, part_quoted, spans_of
from lmcli.engine.config import NotUnderstood
from lmcli.engine.files import read_json

# A task asks how long each text is, then has it classified. One this long is cut before that.
_REMEMBERED, _LONGEST_REMEMBERED = 2048, 2048  # texts, tokens
# The classes that read the files as we do.
_BERTS = {"BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast"}
_ROBERTAS = {"RobertaTokenizer", "RobertaTokenizerFast"}
_PIECES = {f"{name}{fast}" for name in ("XLMRobertaTokenizer", "CamembertTokenizer") for fast in ("", "Fast")}
_PLAIN = {"PreTrainedTokenizerFast", "TokenizersBackend"}  # tokenizer.json alone


class EncoderTokenizer:
    """The tokens of texts with those special tokens they begin and end with; `longest` is None where nothing limits it.

    Raises NotUnderstood for a folder whose files transformers may read otherwise.
    """

    def __init__(self, folder: Path, model_type: str) -> None:
        config = read_json(folder / "special_tokens_map.json") | read_json(folder / "tokenizer_config.json")
        kind = config.get("tokenizer_class")
        if kind is not None and kind not in _BERTS | _ROBERTAS | _PIECES | _PLAIN:
            raise NotUnderstood(f"tokenizer_class={kind!r}")
        self._tokenizer = _open(folder, model_type, config)
        # Files written for training may cut or pad silently; here nothing is cut.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        if any(self._tokenizer.encode("a").type_ids):
            raise NotUnderstood("a tokenizer with token types")
        added = self._tokenizer.get_added_tokens_decoder().values()
        self._part = part_quoted(token.content for token in added if token.special)
        limit = config.get("model_max_length")
        # transformers writes 1e30 where there is none.
        self.longest = limit if isinstance(limit, int) and 0 < limit < 10**9 else None
        self._remembered: dict[str, list[int]] = {}
        names = [*(_special(config, mask="[MASK]", pad="[PAD]", unk="[UNK]").values()), "<mask>", "<pad>", "<unk>"]
        self._blank = next((i for name in names if (i := self._tokenizer.token_to_id(name)) is not None), 0)

    def encode_pairs(self, firsts: Sequence[str], seconds: Sequence[str]) -> tuple[list[list[int]], list[list[int]]]:
        """The tokens of pairs of texts, and to which of the two segments the checkpoint says that each belongs."""
        pairs = [(self._part(first), self._part(second)) for first, second in zip(firsts, seconds, strict=True)]
        encoded = self._tokenizer.encode_batch_fast(pairs)
        return [each.ids for each in encoded], [each.type_ids for each in encoded]

    def spell(self, text: str) -> Spelled:
        """The tokens of one text and which of its characters each stands for."""
        parted = self._part(text)
        encoding = self._tokenizer.encode(parted)
        return Spelled(encoding.ids, spans_of(encoding, text, parted), self._blank)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, whole."""
        new = [text for text in dict.fromkeys(texts) if text not in self._remembered]
        encoded = self._tokenizer.encode_batch_fast([self._part(text) for text in new])
        fresh = dict(zip(new, (each.ids for each in encoded), strict=True))
        tokens = [fresh[text] if text in fresh else self._remembered[text] for text in texts]
        self._remembered |= {text: ids for text, ids in fresh.items() if len(ids) <= _LONGEST_REMEMBERED}
        for text in list(islice(self._remembered, max(len(self._remembered) - _REMEMBERED, 0))):
            del self._remembered[text]
        return tokens


def _open(folder: Path, model_type: str, config: dict[str, Any]) -> tokenizers.Tokenizer:
    file = folder / "tokenizer.json"
    if file.is_file():
        _check_options(read_json(file), config)
        return tokenizers.Tokenizer.from_file(str(file))
    builders: dict[str, Callable[[Path, dict[str, Any]], tokenizers.Tokenizer]] = {
        "bert": _from_wordpieces, "distilbert": _from_wordpieces, "roberta": _from_byte_pairs,
    }  # fmt: skip
    kind = config.get("tokenizer_class")
    fitting = _ROBERTAS if model_type == "roberta" else _BERTS
    if model_type not in builders or (kind is not None and kind not in fitting):
        raise NotUnderstood("a tokenizer without tokenizer.json")
    tokenizer = builders[model_type](folder, config)
    _check_added(folder, config, tokenizer)
    return tokenizer


def _from_wordpieces(folder: Path, config: dict[str, Any]) -> tokenizers.Tokenizer:
    """BERT's vocab.txt: a token a line."""
    pieces = _read(folder / "vocab.txt").removesuffix("\n").split("\n")
    special = _special(config, cls="[CLS]", sep="[SEP]", unk="[UNK]", pad="[PAD]", mask="[MASK]")
    model = models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token=special["unk"])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ids = _add(tokenizer, special)
    tokenizer.post_processor = processors.BertProcessing((special["sep"], ids["sep"]), (special["cls"], ids["cls"]))
    return tokenizer


def _from_byte_pairs(folder: Path, config: dict[str, Any]) -> tokenizers.Tokenizer:
    """RoBERTa's vocab.json and merges.txt."""
    _read(folder / "vocab.json"), _read(folder / "merges.txt")
    special = _special(config, bos="<s>", eos="</s>", cls="<s>", sep="</s>", unk="<unk>", pad="<pad>", mask="<mask>")
    model = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer = tokenizers.Tokenizer(model)
    space = config.get("add_prefix_space", False)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    ids = _add(tokenizer, special)
    sep, cls = (special["sep"], ids["sep"]), (special["cls"], ids["cls"])
    tokenizer.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=space)
    return tokenizer


def _special(config: Mapping[str, Any], **defaults: str) -> dict[str, str]:
    """The special tokens by their names, as the checkpoint calls them."""
    named = {name: config.get(f"{name}_token") or default for name, default in defaults.items()}
    return {name: str(token["content"]) if isinstance(token, dict) else str(token) for name, token in named.items()}


def _add(tokenizer: tokenizers.Tokenizer, special: Mapping[str, str]) -> dict[str, int]:
    """The special tokens' ids; all are in the vocabulary, or it is not the vocabulary it should be."""
    ids = {name: tokenizer.token_to_id(token) for name, token in special.items()}
    if None in ids.values():
        raise NotUnderstood("special tokens that the vocabulary lacks")
    tokenizer.add_special_tokens(list(dict.fromkeys(special.values())))
    return {name: number for name, number in ids.items() if number is not None}


def _check_added(folder: Path, config: Mapping[str, Any], tokenizer: tokenizers.Tokenizer) -> None:
    listed = {entry["content"] for entry in (config.get("added_tokens_decoder") or {}).values()}
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    if (folder / "added_tokens.json").exists() or config.get("additional_special_tokens") or listed - known:
        raise NotUnderstood("tokens added to a tokenizer without tokenizer.json")


def _check_options(tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    """transformers obeys tokenizer_config.json where the two files differ; where they do, it shall."""
    if config.get("tokenizer_class") in _PLAIN:
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


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise NotUnderstood("a tokenizer without tokenizer.json") from error
