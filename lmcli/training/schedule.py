"""The schedule of a run: which examples make up each batch, from the first step to the last, fixed by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

_POOL = (
    64  # batches; examples are sorted by length among so many, so that a batch has little padding and chance its say
)


def schedule(
    lengths: Sequence[int], epochs: float, seed: int, batch_size: int, batch_tokens: int | None = None
) -> list[list[int]]:
    """The batches of all epochs, as indices of examples of these `lengths` (tokens).

    A batch has `batch_size` examples, or as many as hold `batch_tokens` tokens when all are padded to the longest. Each
    epoch goes through all examples in a new order; of a last part of an epoch only the share is taken.
    """
    chance = random.Random(seed)
    batches: list[list[int]] = []
    while epochs > 0:
        batches += _epoch(lengths, chance, batch_size, batch_tokens, min(epochs, 1.0))
        epochs -= 1
    return batches


def in_order(lengths: Sequence[int], batch_size: int, batch_tokens: int | None = None) -> list[list[int]]:
    """All examples once, batches of like length, the longest first: what does not fit in memory shows at once."""
    return list(_batches(sorted(range(len(lengths)), key=lambda i: -lengths[i]), lengths, batch_size, batch_tokens))


def _epoch(
    lengths: Sequence[int], chance: random.Random, batch_size: int, batch_tokens: int | None, share: float
) -> list[list[int]]:
    order = list(range(len(lengths)))
    chance.shuffle(order)
    order = order[: max(round(share * len(order)), 1)]
    mean = sum(lengths) / max(len(lengths), 1)
    pool = _POOL * (max(int(batch_tokens / mean), 1) if batch_tokens else batch_size)
    batches = [
        batch
        for start in range(0, len(order), pool)
        for batch in _batches(
            sorted(order[start : start + pool], key=lengths.__getitem__), lengths, batch_size, batch_tokens
        )
    ]
    chance.shuffle(batches)
    return batches


def _batches(
    order: Sequence[int], lengths: Sequence[int], batch_size: int, batch_tokens: int | None
) -> Iterator[list[int]]:
    batch: list[int] = []
    longest = 0
    for i in order:
        longest = max(longest, lengths[i])
        full = len(batch) * longest + longest > batch_tokens if batch_tokens else len(batch) >= batch_size
        if batch and full:
            yield batch
            batch, longest = [], lengths[i]
        batch.append(i)
    if batch:
        yield batch
