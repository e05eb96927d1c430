"""What runs in a worker: one file a side, what the machine can do, and the GGUF file for llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Facts:
    """A loaded side.

    `precision` is for people. `bytes_per_weight` is what decode reads of each weight, `bytes_per_cached` of each
    element of the KV cache; `prefill_dtype` the one that prefill multiplies in, None where it is no plain dtype.
    `batches` says whether it can decode several conversations at once.
    """

    version: str
    precision: str
    bytes_per_weight: float
    bytes_per_cached: float
    prefill_dtype: str | None
    context_length: int
    batches: bool = True


class Side(Protocol):
    """A checkpoint with a KV cache. Nothing here keeps time: worker.py does, alike for all."""

    facts: Facts

    def reset(self) -> None:
        """Empty the KV cache."""

    def feed(self, tokens: Sequence[int]) -> int:
        """Feed `tokens` after those in the cache; the likeliest next one, known for certain when this returns."""

    def answer(self, prompt: Sequence[int], tokens: int) -> int:
        """Write exactly `tokens` greedy ones after `prompt`, past any that ends an answer, as this side does by itself;
        how often it ran the model for them behind the prompt."""

    def logits(self, ids: Sequence[int]) -> list[float]:
        """The logits of some tokens after the last feed."""

    def batch(self, prompts: Sequence[Sequence[int]], steps: int) -> float:
        """Seconds of `steps` greedy steps of prompts of one length, all at once, without their prefill."""
