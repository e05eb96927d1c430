"""Tokenizers: a vocabulary of one's own, learned from texts and written as transformers and our engine load it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

from lmcli.errors import InputError, UsageError

Method = Literal["bpe", "unigram"]
Use = Literal["causal", "masked", "translate"]
_BYTES = [f"<0x{i:02X}>" for i in range(256)]
# Which tokens of their own a use needs, by the names that transformers has for them.
_SPECIAL: Mapping[Use, Mapping[str, str]] = {
    "causal": {"pad": "<pad>", "bos": "<s>", "eos": "</s>"},
    "masked": {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "translate": {"pad": "<pad>", "eos": "</s>"},
}
_UNKNOWN: Mapping[Use, str] = {"causal": "<unk>", "masked": "[UNK]", "translate": "<unk>"}
# Scripts that put no space between words: nothing marks the first of them as the beginning of a word.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LONGEST_PIECE = 10  # characters; longer ones are names of APIs that one document repeats


@dataclass(frozen=True)
class TokenizerPlan:
    """How a vocabulary of `size` tokens is learned and what it is for; `languages` are those it translates into.

    With `characters` no piece holds two characters of a script without spaces: a little longer texts, and each token is
    met so much more often. Where there are few texts to train on they teach words; longer pieces are phrases to it.
    It is learned from `sample` texts at most, drawn by `seed`: more change little and Unigram takes minutes for them.
    """

    method: Method
    size: int
    use: Use = "causal"
    languages: tuple[str, ...] = ()
    model_max_length: int = 512
    sample: int = 200_000
    seed: int = 0
    characters: bool = False

    @property
    def special(self) -> dict[str, str]:
        """The special tokens by name; a unigram model must have one for what it does not know, and never needs it."""
        unknown = {"unk": _UNKNOWN[self.use]} if self.method == "unigram" else {}
        return {**_SPECIAL[self.use], **unknown}

    @property
    def marks(self) -> list[str]:
        """What a source begins with, to say which language is wanted; those of OPUS-MT's multilingual checkpoints."""
        return [f">>{code}<<" for code in self.languages]


def train_tokenizer(texts: Sequence[str], plan: TokenizerPlan) -> tokenizers.Tokenizer:
    """A tokenizer that has no unknowns: what it has no piece for it spells in bytes.

    BPE works on bytes as GPT-2's does (Radford et al. 2019) and gives every text back as it was. Unigram (Kudo 2018,
    arXiv:1804.10959) works on characters in Unicode's composed form (NFC). NFKC, which others take, would turn
    Chinese commas into English ones and so teach a translator to write them. Raises UsageError for a size that does
    not hold what every text needs, InputError where there is nothing to learn from.
    """
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise InputError("there is no text to learn a vocabulary from", "name a file that has some")
    if len(texts) > plan.sample:
        texts = random.Random(plan.seed).sample(texts, plan.sample)
    tokenizer = _train_bpe(texts, plan) if plan.method == "bpe" else _train_unigram(texts, plan)
    tokenizer.post_processor = _ends(plan, tokenizer)
    return tokenizer


def write_tokenizer(tokenizer: tokenizers.Tokenizer, plan: TokenizerPlan, folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json, as transformers' AutoTokenizer and our engine read them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{f"{name}_token": token for name, token in plan.special.items()},
        "model_max_length": plan.model_max_length,
        "clean_up_tokenization_spaces": False,
    }
    if plan.marks:
        settings["extra_special_tokens"] = plan.marks
    text = json.dumps(settings, ensure_ascii=False, indent=2)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


def density(tokenizer: tokenizers.Tokenizer, texts: Iterable[str]) -> float:
    """Tokens per character, those at the ends of each text not counted."""
    texts = list(texts)
    found = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return sum(len(each.ids) for each in found) / max(sum(map(len, texts)), 1)


def unknowns(tokenizer: tokenizers.Tokenizer, plan: TokenizerPlan, texts: Iterable[str]) -> int:
    """How many tokens stand for something that the vocabulary cannot spell."""
    unknown = tokenizer.token_to_id(plan.special.get("unk", "")) if "unk" in plan.special else None
    return sum(each.ids.count(unknown) for each in tokenizer.encode_batch_fast(list(texts)) if unknown is not None)


def _train_bpe(texts: Sequence[str], plan: TokenizerPlan) -> tokenizers.Tokenizer:
    special = _special_tokens(plan)
    _check_size(plan, len(special) + 256)
    tokenizer = tokenizers.Tokenizer(models.BPE())
    # Without an added space: a text that begins with one differs from one that does not.
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alone = pre_tokenizers.Split(Regex(f"[{_UNSPACED}]"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([alone, byte_level]) if plan.characters else byte_level
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=plan.size, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer, len(texts))
    return tokenizer


def _train_unigram(texts: Sequence[str], plan: TokenizerPlan) -> tokenizers.Tokenizer:
    special = _special_tokens(plan)
    characters = len(set("".join(texts)))
    _check_size(plan, len(special) + 256 + characters)
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = _normalizer(plan.use)
    unspaced = f"[{_UNSPACED}]" if plan.characters else f"[{_UNSPACED}]+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex("▁"), "merged_with_next"),
        # A piece is of one kind: digits stand alone, and Han characters never hang on a Latin word.
        pre_tokenizers.Split(Regex(rf"{unspaced}|\p{{N}}|[^\p{{L}}\p{{M}}\p{{N}}▁]"), "isolated"),
    ])  # fmt: skip
    trainer = trainers.UnigramTrainer(
        vocab_size=plan.size, special_tokens=[*special, *_BYTES], unk_token=plan.special["unk"],
        max_piece_length=_LONGEST_PIECE, show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer, len(texts))
    return _with_byte_fallback(tokenizer)


def _special_tokens(plan: TokenizerPlan) -> list[tokenizers.AddedToken]:
    """A mark takes the space behind it: the first word of a source is then the same piece as that of a translation."""
    plain = [tokenizers.AddedToken(token, special=True, normalized=False) for token in plan.special.values()]
    return plain + [tokenizers.AddedToken(mark, special=True, normalized=False, rstrip=True) for mark in plan.marks]


def _normalizer(use: Use) -> normalizers.Normalizer:
    """Composed characters; spaces become part of the word behind them, which the first word is told to have.

    Only what is to be continued keeps its line breaks and runs of spaces.
    """
    spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()] if use != "causal" else []
    first = normalizers.Replace(Regex(rf"\A(?=[\p{{L}}\p{{N}}])(?![{_UNSPACED}])"), " ")
    return normalizers.Sequence([normalizers.NFC(), *spaces, first, normalizers.Replace(" ", "▁")])


def _with_byte_fallback(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """The trainer knows bytes as special tokens only; in the model they are ordinary ones, for what has no piece."""
    content = json.loads(tokenizer.to_str())
    content["model"]["byte_fallback"] = True
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in _BYTES]
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content, ensure_ascii=False))
    tokenizer.decoder = decoders.Sequence([
        decoders.ByteFallback(), decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0),
    ])  # fmt: skip
    return tokenizer


def _ends(plan: TokenizerPlan, tokenizer: tokenizers.Tokenizer) -> processors.PostProcessor:
    """What a text begins and ends with."""
    begin, end = {"causal": ("bos", None), "masked": ("cls", "sep"), "translate": (None, "eos")}[plan.use]
    begin, end = plan.special.get(begin or ""), plan.special.get(end or "")
    used = [(token, tokenizer.token_to_id(token)) for token in (begin, end) if token]
    single = " ".join(filter(None, (begin, "$A", end)))
    pair = " ".join(filter(None, (begin, "$A", end, "$B", end))) if plan.use == "masked" else None
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=used)


def _check_size(plan: TokenizerPlan, least: int) -> None:
    if plan.size <= least:
        raise UsageError(
            f"--size {plan.size} does not hold the {least:,} tokens that spell every text", f"use --size {2 * least}"
        )
