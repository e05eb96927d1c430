"""Examples: what a checkpoint learns from or is measured by, one a row of a file: an input and the answer to it."""

from __future__ import annotations

from dataclasses import dataclass

from lmcli.types import Message


@dataclass(frozen=True)
class Place:
    """Where a row stands: a file and the line it begins in, from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class Example:
    """An input and its answer.

    `answer` is a label, a translation or a summary; empty where the text itself is to be continued. A chat has
    `messages` in place of both. `second` is the other text of a pair that is judged together, or the question that
    `text` answers. `languages` are those of text and answer (ISO 639-1) where the answer is a translation.
    `references` are all the right translations, summaries or answers, the first of which is `answer`; a question
    without any is one that the text does not answer. `choices` are what is to be chosen from; `answer` is one of them.
    """

    text: str = ""
    answer: str = ""
    messages: tuple[Message, ...] = ()
    second: str | None = None
    languages: tuple[str, str] | None = None
    place: Place = Place("", 0)
    references: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Columns:
    """The names of the columns that hold an example; None where the usual names are to be looked for.

    Of a chat `text` is the column of the messages, or of the prompt where `answer` is that of the response. `second` is
    the other text of a pair, the question about a text, or the choices.
    """

    text: str | None = None
    answer: str | None = None
    second: str | None = None


USUAL = Columns()


@dataclass(frozen=True)
class BrokenRow:
    """A row that holds no example, and why."""

    place: Place
    reason: str
