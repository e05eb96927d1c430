"""What explains an answer: how much each word counted, how probable each token was, where each token looked."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Literal

Method = Literal["occlusion", "integrated-gradients"]


@dataclass(frozen=True)
class Weight:
    """How much the characters from `start` to `end` of a text add to the probability of its label; by occlusion it is
    from -1 to 1."""

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Faithfulness:
    """A label's probability with all words, without the `removed` ones that weigh the most for it, and without as many
    others."""

    removed: int
    whole: float
    without_heaviest: float
    without_random: float  # the mean of several draws


@dataclass(frozen=True)
class Explanation:
    """Which words of `text` carry `label`, found by the `method`, in their order; and whether that holds, if asked."""

    method: Method
    label: str
    text: str
    words: tuple[Weight, ...]
    faithfulness: Faithfulness | None = None


@dataclass(frozen=True)
class Candidate:
    """A token that could stand in a place of a text, and how probable the language model holds it there."""

    id: int
    text: str
    probability: float


@dataclass(frozen=True)
class Choice:
    """One token of a text, and what else the language model held likely in its place.

    `text` is the token by itself, `shown` what became readable with it: nothing while a character is incomplete, and
    of a mark that ends an answer. `probability` is the model's own, before temperature and filters. The likeliest token
    has `rank` 1; `entropy` (bits) says how open the place was; `rivals` are the likeliest others, likeliest first.
    """

    id: int
    text: str
    shown: str
    probability: float
    surprise: float  # -log2 of the probability, in bits
    rank: int
    entropy: float
    rivals: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class AttentionWish:
    """What an encoder-decoder is to write while it is looked at: into `target` (ISO 639-1) from `source`, None to find
    out or to summarize; or just `written`."""

    source: str | None = None
    target: str | None = None
    written: str | None = None


@dataclass(frozen=True)
class AttentionMap:
    """Where each token of `rows` looks among those of `columns`, in every layer and head.

    `part` is the encoder's or the decoder's own attention, or the decoder's to the encoder. `weights` (layers, heads,
    rows, columns) lie flat in an array of floats; those of a row in one head add up to 1.
    """

    part: Literal["encoder", "decoder", "cross"]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    layers: int
    heads: int
    weights: array[float]

    def mean(self, layer: int | None = None, head: int | None = None) -> list[list[float]]:
        """The weights (rows, columns) in one layer and head (from 0), None the mean over all."""
        size, width = len(self.rows) * len(self.columns), len(self.columns)
        layers = range(self.layers) if layer is None else [layer]
        heads = range(self.heads) if head is None else [head]
        starts = [(i * self.heads + j) * size for i in layers for j in heads]
        flat = [sum(self.weights[start + k] for start in starts) / len(starts) for k in range(size)]
        return [flat[first : first + width] for first in range(0, size, width)]


@dataclass(frozen=True)
class AttentionMaps:
    """The attention of a checkpoint over `text`, and what it wrote for it where it rewrites texts."""

    checkpoint: str
    text: str
    maps: tuple[AttentionMap, ...]
    written: str | None = None
