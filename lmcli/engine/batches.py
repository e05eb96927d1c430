"""Batches for encoders: texts of like length together, so that little is computed on padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

# Architectures whose positions begin behind the padding id (fairseq's), and so hold two tokens fewer.
_OFFSET_POSITIONS = {
    "roberta",
    "xlm-roberta",
    "camembert",
    "longformer",
    "xlm-roberta-xl",
    "roberta-prelayernorm",
}


def by_length(inputs: Sequence[Sequence[int]], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of `inputs` in batches of at most `batch_tokens` padded tokens (at least one text), shortest first."""
    batch: list[int] = []
    for i in sorted(range(len(inputs)), key=lambda i: len(inputs[i])):
        if batch and len(inputs[i]) * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def usable_context(config: Any, tokenizer: Any) -> int:
    """Tokens of one text an encoder takes: what both the model's positions and its tokenizer allow.

    Relative positions (T5) have no bound of their own; their tokenizer's, or 512 as they were trained on.
    """
    positions = getattr(config, "max_position_embeddings", None)
    if positions and config.model_type in _OFFSET_POSITIONS:
        positions -= 2
    # transformers writes 1e30 where a tokenizer has no limit.
    limits = [n for n in (positions, tokenizer.model_max_length) if isinstance(n, int) and 0 < n < 10**9]
    return min(limits, default=512)
