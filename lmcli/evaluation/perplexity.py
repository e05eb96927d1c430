"""Perplexity: how many tokens a language model is as good as choosing from at each step, and what does not depend on
the tokenizer, the bits that each byte and each character of the text takes.

Perplexity is exp of the mean negative log-likelihood of a token, over windows as in transformers' guide to the
perplexity of models of fixed length. Bits per byte make checkpoints with different vocabularies comparable (Gao et al.
2020, arXiv:2101.00027).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lmcli.evaluation.bootstrap import whole
from lmcli.protocols import Stretch


@dataclass(frozen=True)
class TextLikelihood:
    """A text's stretches: of each the negative log-likelihood (nats), tokens, bytes of UTF-8, and characters."""

    nats: tuple[float, ...]
    token_counts: tuple[int, ...]
    byte_counts: tuple[float, ...]
    character_counts: tuple[float, ...]

    @property
    def tokens(self) -> int:
        return sum(self.token_counts)


@dataclass(frozen=True)
class PerplexityFigures:
    """Figures of a set and the sums that they are made of."""

    perplexity: float
    bits_per_byte: float
    bits_per_character: float
    tokens: int
    bytes: int
    characters: int
    texts: int


def likelihood_of(text: str, stretches: Sequence[Stretch]) -> TextLikelihood:
    """What the stretches of `text` come to.

    Each has its share of the text's bytes and characters, by what its own tokens say; those of tokens that were not
    scored count nowhere.
    """
    sizes = _shares(len(text.encode(errors="replace")), [len(s.text.encode(errors="replace")) for s in stretches])
    lengths = _shares(len(text), [len(stretch.text) for stretch in stretches])
    rows = zip(stretches, sizes, lengths, strict=True)
    scored = [(-s.likelihood, s.tokens, size, length) for s, size, length in rows if s.tokens]
    nats, tokens, sizes, lengths = zip(*scored, strict=True) if scored else ((), (), (), ())
    return TextLikelihood(nats, tokens, sizes, lengths)


class PerplexityScores:
    """What each stretch of each text adds to the figures, as bootstrap.Scores: tokens beside each other depend on each
    other, so it is stretches of them that are drawn."""

    def __init__(self, texts: Sequence[TextLikelihood]) -> None:
        self.texts = texts
        columns = ("nats", "token_counts", "byte_counts", "character_counts")
        self._sums = np.array([[value for text in texts for value in getattr(text, name)] for name in columns]).T

    def __len__(self) -> int:
        return len(self._sums)

    def figures(self, drawn: NDArray[np.int64]) -> dict[str, float]:
        nats, tokens, size, characters = (drawn @ self._sums).tolist()
        return {
            "perplexity": math.exp(min(nats / tokens, 700)),  # above that no float holds it
            "bits_per_byte": nats / math.log(2) / max(size, 1),
            "bits_per_character": nats / math.log(2) / max(characters, 1),
        }

    @cached_property
    def measured(self) -> PerplexityFigures:
        """The figures of the whole set."""
        tokens, size, characters = (round(total) for total in self._sums.sum(0).tolist()[1:])
        return PerplexityFigures(**whole(self), tokens=tokens, bytes=size, characters=characters, texts=len(self.texts))


def paired(first: PerplexityScores, second: PerplexityScores) -> tuple[PerplexityScores, PerplexityScores] | None:
    """The scores of two checkpoints, of the same pieces of the same texts: stretches where both have the same tokens,
    else whole texts. None where there is but one text, of which they have other tokens."""
    if [text.token_counts for text in first.texts] == [text.token_counts for text in second.texts]:
        return first, second
    if len(first.texts) < 2:
        return None
    return PerplexityScores([_joined(text) for text in first.texts]), PerplexityScores(
        [_joined(text) for text in second.texts]
    )


def _joined(text: TextLikelihood) -> TextLikelihood:
    """The text as one stretch."""
    return TextLikelihood(
        (sum(text.nats),), (text.tokens,), (sum(text.byte_counts),), (sum(text.character_counts),)
    )  # fmt: skip


def _shares(total: int, parts: Sequence[int]) -> tuple[float, ...]:
    whole = sum(parts) or 1
    return tuple(total * part / whole for part in parts)
