"""Batches for encoders: what one text may hold, and texts of like length together so that little is padding."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tokenizers
from torch import nn

from lmcli.checkpoints.checkpoint import context_length
from lmcli.errors import InputTooLong

_STRETCH = 128  # texts; only these are sorted, so that the first lines of a long document appear soon


def by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of texts in batches of at most `batch_tokens` padded tokens (at least one text), shortest first."""
    for first in range(0, len(lengths), _STRETCH):
        batch: list[int] = []
        for i in sorted(range(first, min(first + _STRETCH, len(lengths))), key=lambda i: lengths[i]):
            if batch and lengths[i] * (len(batch) + 1) > batch_tokens:
                yield batch
                batch = []
            batch.append(i)
        yield batch


def encode(tokenizer: Any, text: str, prefix: str = "", second: str | None = None) -> Any:
    """transformers' encoding of one text, or of a pair, whole, less the special tokens that it quotes."""
    part = part_quoted(tokenizer.all_special_tokens)
    texts = (prefix + part(text),) if second is None else (prefix + part(text), part(second))
    return tokenizer(*texts, truncation=False)


def part_quoted(special_tokens: Iterable[str]) -> Callable[[str], str]:
    """What parts a special token that a text quotes (`</s>`, `[SEP]`) by a space: read as the mark it names, it would
    end the text there."""
    quotable = "|".join(map(re.escape, sorted(special_tokens, key=len, reverse=True)))
    pattern = re.compile(quotable or "(?!)")
    return lambda text: pattern.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


@dataclass(frozen=True)
class Spelled:
    """A text's tokens, the characters from `start` to `end` that each stands for, none of those around it, and the
    token that stands for nothing."""

    ids: list[int]
    spans: list[tuple[int, int]]
    blank: int


def spans_of(encoding: tokenizers.Encoding, text: str, parted: str) -> list[tuple[int, int]]:
    """Which characters of `text`, of which `parted` is what was encoded, each token stands for, less the spaces."""
    origin = list(_origins(text, parted))
    found = []
    for (a, b), special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True):
        start, end = (origin[a], origin[b]) if b > a and not special else (0, 0)
        own = text[start:end]
        found.append((end - len(own.lstrip()), start + len(own.rstrip())) if own.strip() else (0, 0))
    return found


def _origins(text: str, parted: str) -> Iterator[int]:
    """For each place of `parted`, which has spaces that `text` has not, the place in `text`, and for its end."""
    at = 0
    for character in parted:
        yield at
        at += at < len(text) and text[at] == character
    yield len(text)


def check_fits(length: int, limit: int, name: str) -> None:
    """Raises InputTooLong for a text of more than `limit` tokens."""
    if length > limit:
        raise InputTooLong(
            f"a text has {length} tokens, more than the {limit} of {name}",
            "split it, or use a checkpoint with a longer context: lmcli list --all",
        )


def positions(config: Any) -> int | None:
    """Tokens the model has positions for."""
    return context_length(config.get_text_config().to_dict())


def usable_context(model: Any, tokenizer: Any) -> int:
    """Tokens of one text an encoder takes: what both the model's positions and its tokenizer allow.

    Relative positions (T5) have no bound of their own; their tokenizer's, or 512 as they were trained on.
    """
    # transformers writes 1e30 where a tokenizer has no limit.
    limits = [_learned_positions(model) or positions(model.config), tokenizer.model_max_length]
    return min((n for n in limits if isinstance(n, int) and 0 < n < 10**9), default=512)


def _learned_positions(model: Any) -> int | None:
    """RoBERTa and its kin begin to count behind the padding id, and so hold two tokens fewer than their table."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return module.num_embeddings - module.padding_idx - 1
    return None
