"""Figures: numbers as people read them."""

from __future__ import annotations

_SHARES = ("accuracy", "exact_match")
_OF_A_HUNDRED = ("bleu", "chrf", "perplexity")


def figure(metric: str, value: float) -> str:
    """A metric's value as it is usually written: accuracy 0.876 as `87.6%`, macro F1 as `0.876`, BLEU as `25.3`."""
    if metric in _SHARES:
        return f"{value:.1%}"
    if metric in _OF_A_HUNDRED:
        return f"{value:,.1f}"
    return f"{value:.3f}"
