"""The form of a summary: how much, laid out how, in which language, about what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lmcli.text.language import language

Length = Literal["short", "medium", "long"]
Unit = Literal["words", "sentences", "characters"]
Layout = Literal["paragraph", "bullets", "headline"]

_WORDS = {"short": 30, "medium": 80, "long": 200}
_CHARACTERS = {"short": 50, "medium": 150, "long": 350}  # where words are not told apart: Chinese, Japanese
_WORDS_A_SENTENCE, _CHARACTERS_A_SENTENCE = 25, 40
_HEADLINE_WORDS, _HEADLINE_CHARACTERS = 12, 20
_LETTERS_A_WORD = 6  # with the space behind it


@dataclass(frozen=True)
class Size:
    """So many words, sentences or characters; in Chinese and Japanese a word is a character."""

    amount: int
    unit: Unit = "words"


@dataclass(frozen=True)
class SummaryForm:
    """What one summary is to be like.

    `source` is the code of the text's language and `language` that of the summary's, None where it is not known.
    `focus` is what to attend to.
    """

    size: Size
    layout: Layout = "paragraph"
    source: str | None = None
    language: str | None = None
    focus: str | None = None

    @property
    def words(self) -> int:
        """About how many words it has, in Chinese and Japanese characters."""
        east_asian = counts_characters(self.language)
        if self.size.unit == "sentences":
            return self.size.amount * (_CHARACTERS_A_SENTENCE if east_asian else _WORDS_A_SENTENCE)
        if self.size.unit == "characters" and not east_asian:
            return max(1, round(self.size.amount / _LETTERS_A_WORD))
        return self.size.amount

    @property
    def sentences(self) -> int | None:
        """The most sentences, or bullets, where they were asked for; a headline is one."""
        if self.layout == "headline":
            return 1
        return self.size.amount if self.size.unit == "sentences" else None


def size_of(length: Length, layout: Layout, code: str | None) -> Size:
    """What a length by name comes to in the language `code`; headlines are all of one length."""
    if counts_characters(code):
        return Size(_HEADLINE_CHARACTERS if layout == "headline" else _CHARACTERS[length], "characters")
    return Size(_HEADLINE_WORDS if layout == "headline" else _WORDS[length])


def counts_characters(code: str | None) -> bool:
    """Whether lengths in the language `code` are told in characters."""
    return bool(code) and str(code)[:2] in {"zh", "ja"}


def lay_out(sentences: Sequence[str], layout: Layout, code: str | None) -> str:
    """Whole sentences as a paragraph in the language `code`, a list, or the first alone."""
    stripped = [sentence.strip() for sentence in sentences if sentence.strip()]
    if layout == "headline":
        return stripped[0] if stripped else ""
    if layout == "bullets":
        return "\n".join(f"- {sentence}" for sentence in stripped)
    return (" " if code is None or language(code).spaced else "").join(stripped)
