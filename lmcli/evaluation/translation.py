"""Translation: BLEU and chrF2 by sacrebleu, with the signature under which others can compute the same figure.

BLEU is Papineni et al. 2002 (ACL P02-1040), chrF Popović 2015 (ACL W15-3049), sacrebleu Post 2018 (arXiv:1804.08771).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

# Chinese is cut into characters and foreign words; other scripts without spaces into characters. The tokenizers that
# know words of Japanese and Korean need libraries and dictionaries of their own.
_TOKENIZERS = {"zh": "zh", **dict.fromkeys(("ja", "th", "lo", "my", "km"), "char")}


@dataclass(frozen=True)
class TranslationFigures:
    """BLEU and chrF2 of a set, 0 to 100; `length_ratio` is the tokens of the translations for each of the references'.
    The signatures are sacrebleu's."""

    bleu: float
    chrf: float
    length_ratio: float
    bleu_signature: str
    chrf_signature: str
    n: int


def measure(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], target_language: str | None = None
) -> TranslationFigures:
    """The figures of translations into `target_language` (ISO 639-1), each against its one or more references.

    Raises ValueError where their numbers differ, there are none, or one has no reference.
    """
    return TranslationScores(hypotheses, references, target_language).measured


class TranslationScores:
    """What each translation adds to BLEU and chrF of the whole, as bootstrap.Scores."""

    def __init__(
        self, hypotheses: Sequence[str], references: Sequence[Sequence[str]], target_language: str | None = None
    ) -> None:
        if len(hypotheses) != len(references) or not hypotheses or not all(references):
            raise ValueError(f"{len(hypotheses)} translations, {len(references)} with references")
        language = (target_language or "").split("-")[0].lower()
        self._bleu: Any = BLEU(tokenize=_TOKENIZERS.get(language, "13a"))
        self._chrf: Any = CHRF()
        # sacrebleu wants the first references of all, then the second ones; None where there are fewer.
        columns = [list(column) for column in zip_longest(*references)]
        self._bleu_counts = np.array(self._bleu._extract_corpus_statistics(list(hypotheses), columns), dtype=np.int64)
        self._chrf_counts = np.array(self._chrf._extract_corpus_statistics(list(hypotheses), columns), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._bleu_counts)

    def figures(self, drawn: NDArray[np.int64]) -> dict[str, float]:
        return {"bleu": self._of_bleu(drawn).score, "chrf": self._of_chrf((drawn @ self._chrf_counts).tolist())}

    @cached_property
    def measured(self) -> TranslationFigures:
        """The figures of the whole set."""
        every = np.ones(len(self), dtype=np.int64)
        bleu = self._of_bleu(every)
        ratio = bleu.sys_len / bleu.ref_len if bleu.ref_len else 0.0
        signatures = str(self._bleu.get_signature()), str(self._chrf.get_signature())
        return TranslationFigures(bleu.score, self.figures(every)["chrf"], ratio, *signatures, n=len(self))

    def each(self) -> list[float]:
        """chrF2 of each translation, 0 to 100: the worst are worth reading."""
        return [self._of_chrf(counts) for counts in self._chrf_counts.tolist()]

    def _of_bleu(self, drawn: NDArray[np.int64]) -> Any:
        return self._bleu._compute_score_from_stats((drawn @ self._bleu_counts).tolist())

    def _of_chrf(self, counts: list[int]) -> float:
        score: float = self._chrf._compute_score_from_stats(counts).score
        return score
