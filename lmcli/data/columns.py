"""Columns: which of a file's columns hold an example, by the names the user gave or by those that are usual."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, NoReturn

from lmcli.data.examples import Columns
from lmcli.errors import UsageError
from lmcli.task_names import ExampleTask
from lmcli.text.language import parse

Tiers = tuple[tuple[str, ...], ...]  # of names; one of an earlier tier goes before those of a later


class Usual(NamedTuple):
    """The usual names of a task's columns, and what each of them is called in a message."""

    text: Tiers
    answer: Tiers = ()
    text_word: str = "text"
    answer_word: str = ""


_TEXT: Tiers = (
    ("text", "texts"),
    ("sentence", "document", "article", "content", "body"),
    ("review", "review_body", "review_text", "comment", "tweet", "post", "message", "sms", "utterance", "question",
     "title", "headline"),
)  # fmt: skip
_LABEL: Tiers = (
    ("label_text", "label_name"),
    ("label", "labels"),
    ("category", "class", "sentiment", "stars", "star", "rating", "score", "topic", "intent", "emotion", "target",
     "gold_label"),
)  # fmt: skip
_USUAL: Mapping[ExampleTask, Usual] = {
    "classify": Usual(_TEXT, _LABEL, answer_word="label"),
    "translate": Usual(
        (("source", "src"), ("text", "input", "source_text")),
        (("target", "tgt", "trg"), ("translation", "output", "target_text")),
        "source text", "translation",
    ),
    "summarize": Usual(
        (("text",), ("document", "article", "dialogue", "dialog", "content", "body", "source", "passage")),
        (("summary", "summaries"), ("highlights", "headline", "abstract", "target"), ("title",)),
        answer_word="summary",
    ),
    "chat": Usual(
        (("prompt", "instruction"), ("question", "query", "input", "user")),
        (("response", "completion", "output"), ("answer", "reply", "assistant", "chosen")),
        "prompt", "response",
    ),
    "ask": Usual(
        (("context",), ("text", "passage", "document", "article", "paragraph")),
        (("answers", "answer"), ("references", "response")),
        "text to read", "answer",
    ),
    "choose": Usual(
        (("question", "query", "ctx", "prompt", "goal", "stem"), ("text", "sentence", "context", "input")),
        (("answer", "answerkey", "answer_key"), ("label", "gold", "target", "correct")),
        "question", "answer",
    ),
    "generate": Usual(_TEXT),
    "masked": Usual(_TEXT),
}  # fmt: skip
# Texts that are judged together, as GLUE's sets and others name them.
_PAIRS = (
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("question", "sentence"),
    ("text", "hypothesis"), ("text1", "text2"), ("text_a", "text_b"), ("sentence_a", "sentence_b"),
    ("question", "passage"), ("question", "context"), ("query", "passage"), ("query", "document"),
)  # fmt: skip
_QUESTION: Tiers = (("question",), ("query",))
_CONVERSATIONS: Tiers = (("messages",), ("conversations", "conversation", "turns", "dialog", "dialogue"))
_OPTIONS = {"text": "--text-field", "answer": "--answer-field", "second": "--second-field"}
# Codes of languages that are more often the name of something else.
_NO_LANGUAGE = {"id", "no", "in", "is", "as"}


class Chooser:
    """Finds the columns of one file. `file` stands in the messages."""

    def __init__(self, file: str, names: Sequence[str], wish: Columns) -> None:
        self.file, self.names, self.wish = file, names, wish

    def choose(self, task: ExampleTask, languages: tuple[str, str] | None) -> tuple[Columns, tuple[str, str] | None]:
        """The columns of an example and, of a translation, its languages where they are known.

        Raises UsageError where a column that was named is not there, one is missing, or several could be meant.
        """
        for role in _OPTIONS:
            self._check(role)
        if task == "translate":
            return self._translation(languages)
        if task == "chat" and (conversation := self._conversation()):
            return Columns(conversation), None
        if task in ("generate", "masked"):
            return Columns(self._only() or self._named("text", _USUAL[task])), None
        if task in ("classify", "score"):
            return self._labelled(), None
        # ask, choose and summarize
        columns = Columns(self._named("text", _USUAL[task]), self._named("answer", _USUAL[task]), self.wish.second)
        if task == "ask":
            columns = replace(columns, second=self.wish.second or self._found("question", _QUESTION, "second"))
        return columns, None

    def _check(self, role: str) -> None:
        name = getattr(self.wish, role)
        if name is not None and name not in self.names:
            raise UsageError(f"{self.file} has no column '{name}'; it has {self._listed}", f"{_OPTIONS[role]} NAME")

    @property
    def _listed(self) -> str:
        return ", ".join(name[:40] for name in self.names[:12]) + (", …" if len(self.names) > 12 else "")

    def _labelled(self) -> Columns:
        """A text, or two, and a label; where there are two columns and one is known the other is the other."""
        answer = self.wish.answer or self._any(_LABEL, "answer", "label", self.wish.text)
        first, second = self._pair(answer) if not self.wish.text else (None, None)
        rest = [name for name in self.names if name != answer] if answer else []
        text = self.wish.text or first or (rest[0] if len(rest) == 1 else None)
        text = text or self._found("text", _TEXT, "text", answer)
        others = [name for name in self.names if name != text]
        answer = answer or (others[0] if len(others) == 1 else None) or self._missing("label", "answer")
        return Columns(text, answer, self.wish.second or second)

    def _pair(self, answer: str | None) -> tuple[str | None, str | None]:
        known = {_plain(name): name for name in self.names if name != answer}
        found = next((pair for pair in _PAIRS if known.keys() >= set(pair)), None)
        return (known[found[0]], known[found[1]]) if found else (None, None)

    def _translation(self, languages: tuple[str, str] | None) -> tuple[Columns, tuple[str, str] | None]:
        if self.wish.text and self.wish.answer:
            return Columns(self.wish.text, self.wish.answer), languages or self._told(self.wish)
        spoken = self._languages(set() if languages else _NO_LANGUAGE)
        if languages is None and not (self.wish.text or self.wish.answer) and len(spoken) > 2:
            raise UsageError(
                f"{self.file} has more than two languages: {', '.join(spoken)}", "name two of them: --from and --to"
            )
        if languages is None and not (self.wish.text or self.wish.answer) and len(spoken) == 2:
            source, target = spoken
            languages = (source, target)
        sides = [spoken.get(code, ()) for code in languages or ("", "")]
        names = [self._one(side, word) for side, word in zip(sides, ("text", "answer"), strict=True)]
        usual = _USUAL["translate"]
        text = self.wish.text or names[0] or self._named("text", usual)
        answer = self.wish.answer or names[1] or self._named("answer", usual)
        return Columns(text, answer), languages

    def _told(self, columns: Columns) -> tuple[str, str] | None:
        codes = [next((code for code, own in self._languages(set()).items() if name in own), None)
                 for name in (columns.text, columns.answer)]  # fmt: skip
        return (codes[0], codes[1]) if codes[0] and codes[1] else None

    def _languages(self, excluded: set[str]) -> dict[str, list[str]]:
        """The columns that are named like a language, by its code; one that is named by the code alone goes first."""
        spoken: dict[str, list[str]] = {}
        for name in self.names:
            try:
                code = parse(name)
            except UsageError:
                continue
            if _plain(name) not in excluded:
                spoken.setdefault(code, []).append(name)
        return {code: [name for name in names if name.casefold() == code.casefold()] or names
                for code, names in spoken.items()}  # fmt: skip

    def _conversation(self) -> str | None:
        if self.wish.answer:
            return None
        return self.wish.text or self._any(_CONVERSATIONS, "text", "conversation")

    def _only(self) -> str | None:
        return self.wish.text or (self.names[0] if len(self.names) == 1 else None)

    def _named(self, role: str, usual: Usual) -> str:
        wished: str | None = getattr(self.wish, role)
        tiers, word = (usual.text, usual.text_word) if role == "text" else (usual.answer, usual.answer_word)
        other = self.wish.answer if role == "text" else self.wish.text
        return wished or self._found(word, tiers, role, other)

    def _found(self, word: str, tiers: Tiers, role: str, taken: str | None = None) -> str:
        return self._any(tiers, role, word, taken) or self._missing(word, role)

    def _any(self, tiers: Tiers, role: str, word: str, taken: str | None = None) -> str | None:
        """The column of the first tier of names that has one."""
        for tier in tiers:
            found = [name for name in self.names if _plain(name) in tier and name != taken]
            if found:
                return self._one(found, role, word)
        return None

    def _one(self, names: Sequence[str], role: str, word: str = "text") -> str | None:
        if len(names) > 1:
            raise UsageError(
                f"{self.file} has several columns that could hold the {word}: {', '.join(names)}",
                f"{_OPTIONS[role]} NAME says which",
            )
        return names[0] if names else None

    def _missing(self, word: str, role: str) -> NoReturn:
        raise UsageError(
            f"{self.file} has no column for the {word}; it has {self._listed}",
            f"{_OPTIONS[role]} NAME says which it is",
        )


def _plain(name: str) -> str:
    """A name without case and with its words joined by an underscore: `Review Text` is `review_text`."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold()).strip("_")
