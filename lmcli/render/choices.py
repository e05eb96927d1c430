"""Choices as people read them: the row of a token, and how surprising a text was."""

from __future__ import annotations

from collections.abc import Sequence

from lmcli.explanations import Choice
from lmcli.render.objects import line

COLUMNS = {
    "token": "TOKEN", "probability": "PROBABILITY", "rank": "RANK", "entropy": "ENTROPY", "rivals": "RIVALS",
}  # fmt: skip
LEGEND = "no colour: 50% and more, yellow: 10%, red: 1%, on red: less"
_STYLES = ((6.64, "1;37;41"), (3.32, "31"), (1.0, "33"))  # from so many bits on: what is below 1, 10 and 50 %
_ALL, _LEAST = 60, 20  # tokens of a text that are listed: all of so many, of more as many as that


def token_row(choice: Choice) -> dict[str, str]:
    """A token in quotation marks with its probability, rank and entropy (bits), and its rivals."""
    rivals = ", ".join(f"{quoted(rival.text)} {percent(rival.probability)}" for rival in choice.rivals)
    return {
        "token": quoted(choice.text), "probability": percent(choice.probability), "rank": str(choice.rank),
        "entropy": f"{choice.entropy:.2f}", "rivals": rivals,
    }  # fmt: skip


def quoted(text: str) -> str:
    """Text in which spaces, line breaks and controls are seen."""
    return line(text).rstrip("\n").replace("\\\\x", "\\x")  # The byte of half a character is written so already.


def percent(probability: float) -> str:
    """A probability with three digits that say something."""
    return "<0.01%" if probability < 0.0001 else f"{100 * probability:.3g}%"


def style(surprise: float) -> str:
    """The terminal's code for a token of so many bits; empty for one that was foreseen."""
    return next((code for bits, code in _STYLES if surprise >= bits), "")


def listed(choices: Sequence[Choice]) -> Sequence[Choice]:
    """All tokens of a short text, of a long one those that were least foreseen, the least first."""
    return choices if len(choices) <= _ALL else sorted(choices, key=lambda choice: -choice.surprise)[:_LEAST]


def foreseen(choices: Sequence[Choice]) -> str:
    """How well the model foresaw a text."""
    bits = sum(choice.surprise for choice in choices) / len(choices)
    return f"{len(choices)} tokens, {bits:.2f} bits a token, perplexity {2**bits:.1f}"
