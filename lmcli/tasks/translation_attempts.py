"""Attempts: how a sentence is asked for again in another way until its translation is whole, and kept where none is.

A sentence is a conversation: a generator that yields what to ask, is sent the answers, and returns an Outcome. So many
sentences are asked side by side, and each goes its own way from there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from lmcli.tasks.translation_check import TranslationCheck
from lmcli.text.language import language
from lmcli.text.markup import Span
from lmcli.text.segment import parts

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "«": "»", "„": "“"}
_OPENS_ALONE = re.compile(r"\s*(?:[:：]|\s[-–—]+\s)")  # `--help`: shows this
_CLOSES_ALONE = re.compile(r"[:：]\s*$")
# What of a piece is not asked for: punctuation that is only there between other pieces.
_PIECE = re.compile(r"([\s,;:.!?，。；：！？、)）\]}/-]*)(.*?)([\s,;:，；：、(（\[{/-]*)", re.S)
_CLAUSE = re.compile(r"[,;:，、；：—]\s*")
_LINE_MARK = re.compile(r"^(?:>\s*|(?:[-*+]|#{1,6}|\d{1,3}[.)])\s+)+")  # Language models like lists.
_OWN_MARKS = ("**", "__", "`", "~~")
_LONG = 120  # characters that are divided where no clause ends, too


@dataclass(frozen=True)
class Ask:
    """A text to translate; `markers` in it are to come back as they are. `firmly`: the plain way has failed."""

    text: str
    firmly: bool = False
    markers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    text: str
    cut: bool = False  # ended at its longest


@dataclass(frozen=True)
class Outcome:
    """A sentence's translation; `flaw` says why it, or a part of it, stands as it was."""

    text: str
    flaw: str = ""
    cut: bool = False


Talk = Generator[list[Ask], list[Answer], Outcome]


@dataclass(frozen=True)
class Markers:
    """A way to write what stands for the nth thing that is kept, and to find it again in a translation."""

    form: str
    pattern: str

    def write(self, n: int) -> str:
        return self.form.format(n)

    def split(self, text: str) -> tuple[list[str], list[int]]:
        """The texts around the markers, and the markers' numbers."""
        found = re.split(self.pattern, text)
        return found[::2], [int(number) for number in found[1::2]]


# Full-width brackets come from checkpoints that write Chinese.
STYLES = (
    Markers("{{{}}}", r"[{｛]\s*(\d+)\s*[}｝]"),
    Markers("X{}X", r"(?i:x)\s?(\d+)\s?(?i:x)"),
    Markers("<{}>", r"[<＜〈《]\s*(\d+)\s*[>＞〉》]"),
)
_TRIES = 6  # of a style in which none came back whole, before it is given up


@dataclass
class Tally:
    """How well the checkpoint at hand has copied each style of markers so far."""

    tried: dict[Markers, int] = field(default_factory=dict)
    whole: dict[Markers, int] = field(default_factory=dict)

    def best(self) -> list[Markers]:
        """The two likeliest to come back, without those that never do."""
        hopeful = [style for style in STYLES if self.whole.get(style) or self.tried.get(style, 0) < _TRIES]
        return sorted(hopeful, key=self._share, reverse=True)[:2]

    def note(self, style: Markers, whole: bool) -> None:
        self.tried[style] = self.tried.get(style, 0) + 1
        self.whole[style] = self.whole.get(style, 0) + whole

    def _share(self, style: Markers) -> float:
        return (self.whole.get(style, 0) + 1) / (self.tried.get(style, 0) + 1)


@dataclass(frozen=True)
class Attempts:
    """The ways to translate sentences that `check` judges.

    `fits` says whether a text has room; `spaced` whether a space stands between words of the target but not of the
    source. With `cut_is_wanted` an answer that ended at its longest is one.
    """

    check: TranslationCheck
    fits: Callable[[str], bool]
    spaced: bool = False
    cut_is_wanted: bool = False
    tally: Tally = field(default_factory=Tally)

    def sentence(self, spans: Sequence[Span], escape: Callable[[str], str] = str) -> Talk:
        """The conversation about one sentence; `escape` writes a translator's words so that they are no markup."""
        before, core, after = _edges(spans)
        said_before, said_after = ("".join(span.said for span in group) for group in (before, after))
        if not any(c.isalpha() for span in core if span.role == "words" for c in span.text):
            return Outcome("".join(span.said for span in spans))
        if len(core) == 1:
            outcome = yield from self._words(core[0].text, escape)
        else:
            outcome = (yield from self._marked(core, escape)) or (yield from self._pieces(core, escape))
        return Outcome(self._joined([said_before, outcome.text, said_after]), outcome.flaw, outcome.cut)

    def _words(self, text: str, escape: Callable[[str], str]) -> Talk:
        """Words without markup: as they are, then firmly, then in two halves, and else kept."""
        first = ""
        for firmly in (False, True):
            (answer,) = yield [Ask(text, firmly)]
            flaw = self._flaw(text, answer)
            if not flaw:
                return Outcome(escape(_tidy(text, answer.text)), cut=answer.cut)
            first = first or flaw
        halves = _halves(text)
        answers = (yield [Ask(half.strip()) for half in halves]) if len(halves) > 1 else []
        flaws = [self._flaw(half.strip(), answer) for half, answer in zip(halves, answers, strict=False)]
        if not flaws or all(flaws):
            return Outcome(escape(text), first)
        said = [
            half if flaw else _tidy(half, answer.text)
            for half, answer, flaw in zip(halves, answers, flaws, strict=True)
        ]
        return Outcome(escape((" " if self._wide else "").join(map(str.strip, said))), next(filter(None, flaws), ""))

    def _marked(
        self, core: Sequence[Span], escape: Callable[[str], str]
    ) -> Generator[list[Ask], list[Answer], Outcome | None]:
        """All of it with markers for what is kept; None where no translation had them all."""
        kept = [span for span in core if span.role != "words"]
        for style in self.tally.best():
            numbers = iter(range(1, len(kept) + 1))
            text = "".join(span.text if span.role == "words" else style.write(next(numbers)) for span in core)
            if not self.fits(text):
                return None
            (answer,) = yield [Ask(text, markers=tuple(map(style.write, range(1, len(kept) + 1))))]
            around, found = style.split(_tidy(text, answer.text))
            whole = _in_order(kept, found)
            self.tally.note(style, whole)
            if not whole:
                continue
            said = [span.text for span in core if span.role == "words"]
            if self._flaw(" ".join(said), Answer(" ".join(around), answer.cut)):
                return None
            parts = [escape(around[0])]
            for number, words in zip(found, around[1:], strict=True):
                parts += [kept[number - 1].said, escape(words)]
            return Outcome(self._joined(parts), cut=answer.cut)
        return None

    def _pieces(self, core: Sequence[Span], escape: Callable[[str], str]) -> Talk:
        """The words between what is kept, each by itself: nothing can be lost."""
        cut = [_PIECE.fullmatch(span.text) if span.role == "words" else None for span in core]
        asked = [n for n, found in enumerate(cut) if found and any(c.isalpha() for c in found[2])]
        outcomes = yield from together([self._words(cut[n][2], escape) for n in asked])  # type: ignore[index]
        said = [span.said if span.role != "words" else escape(span.text) for span in core]
        for n, outcome in zip(asked, outcomes, strict=True):
            found = cut[n]
            assert found
            said[n] = escape(found[1]) + outcome.text + escape(found[3])
        flaw = next((outcome.flaw for outcome in outcomes if outcome.flaw), "")
        return Outcome(self._joined(said), flaw, any(outcome.cut for outcome in outcomes))

    def _flaw(self, text: str, answer: Answer) -> str:
        if answer.cut and not self.cut_is_wanted:
            return "it ended at its longest"
        return self.check.flaw(text, _tidy(text, answer.text))

    def _joined(self, parts: Sequence[str]) -> str:
        """The parts, with a space where two words would touch that did not need one in the source."""
        text = ""
        for part in filter(None, parts):
            touch = self.spaced and text and _is_word(text[-1]) and _is_word(part[0])
            text += (" " if touch else "") + part
        return text

    @property
    def _wide(self) -> bool:
        return language(self.check.target).spaced


def together(talks: Sequence[Talk]) -> Generator[list[Ask], list[Answer], list[Outcome]]:
    """Several conversations held side by side: in each round the asks of all that go on."""
    outcomes: dict[int, Outcome] = {}
    asks: dict[int, list[Ask]] = {}

    def advance(n: int, answers: list[Answer] | None) -> None:
        try:
            asks[n] = talks[n].send(answers)  # type: ignore[arg-type]  # a generator is begun with None
        except StopIteration as end:
            asks.pop(n, None)
            outcomes[n] = end.value

    for n in range(len(talks)):
        advance(n, None)
    while asks:
        round_ = dict(asks)
        answers = iter((yield [ask for each in round_.values() for ask in each]))
        for n, each in round_.items():
            advance(n, [next(answers) for _ in each])
    return [outcomes[n] for n in range(len(talks))]


def _edges(spans: Sequence[Span]) -> tuple[list[Span], list[Span], list[Span]]:
    """What is kept before the sentence, the sentence, what is kept after it."""
    core, before, after = list(spans), [], list[Span]()
    moved = True
    while core and moved:
        moved = False
        if core[0].role == "mark" or not core[0].text.strip() or _alone_before(core):
            before.append(core.pop(0))
            moved = True
        elif core[-1].role == "mark" or not core[-1].text.strip() or _alone_after(core):
            after.insert(0, core.pop())
            moved = True
        elif core[0].role == "open" and core[-1].role == "close" and core[0].pair == core[-1].pair:
            before.append(core.pop(0))
            after.insert(0, core.pop())
            moved = True
    if core and core[0].role == "words":
        lead = core[0].text[: len(core[0].text) - len(core[0].text.lstrip())]
        before, core[0] = [*before, Span(lead)] if lead else before, Span(core[0].text.lstrip())
    if core and core[-1].role == "words":
        tail = core[-1].text[len(core[-1].text.rstrip()) :]
        after, core[-1] = [Span(tail), *after] if tail else after, Span(core[-1].text.rstrip())
    return before, core, after


def _alone_before(core: Sequence[Span]) -> bool:
    """Whether a noun opens the sentence and is no part of it: `ls`: lists files; a glossary's term always is."""
    if len(core) < 2 or core[0].role != "noun" or core[0].instead is not None or core[1].role != "words":
        return False
    return bool(_OPENS_ALONE.match(core[1].text))


def _alone_after(core: Sequence[Span]) -> bool:
    if len(core) < 2 or core[-1].role != "noun" or core[-1].instead is not None or core[-2].role != "words":
        return False
    return bool(_CLOSES_ALONE.search(core[-2].text))


def _in_order(kept: Sequence[Span], found: Sequence[int]) -> bool:
    """Whether every marker came once, and those of pairs around one another as they may be."""
    if sorted(found) != list(range(1, len(kept) + 1)):
        return False
    opened: list[int] = []
    for number in found:
        span = kept[number - 1]
        if span.role == "open":
            opened.append(span.pair)
        elif span.role == "close" and (not opened or opened.pop() != span.pair):
            return False
    return not opened


def _halves(text: str) -> list[str]:
    """The text in two at the end of the clause nearest to its middle, or of the word where it is long."""
    ends = [found.end() for found in _CLAUSE.finditer(text)]
    if len(text) > _LONG and not ends:
        return parts(text, len(text) // 2 + 1, len) if " " in text else [text[: len(text) // 2], text[len(text) // 2 :]]
    inner = [end for end in ends if 0 < end < len(text) and any(map(str.isalpha, text[end:]))]
    if not inner:
        return [text]
    middle = min(inner, key=lambda end: abs(end - len(text) / 2))
    return [text[:middle], text[middle:]]


def _tidy(sentence: str, answer: str) -> str:
    """`answer` on one line, without quotation marks, list marks and emphasis of its own."""
    text = " ".join(answer.split("\n")).replace("\r", " ").strip()
    if not _LINE_MARK.match(sentence):
        text = _LINE_MARK.sub("", text)
    for mark in _OWN_MARKS:
        text = text if mark in sentence else text.replace(mark, "").strip()
    return text if sentence[0] in _QUOTES else _unquoted(text)


def _unquoted(text: str) -> str:
    """`text` without the pair of quotation marks around all of it; "Jia" and "Yi" has two pairs."""
    inner = text[1:-1]
    around = len(text) > 1 and _QUOTES.get(text[0]) == text[-1]
    return inner.strip() if around and text[0] not in inner and text[-1] not in inner else text


def _is_word(character: str) -> bool:
    return character.isalnum() or character in "`$%{}"
