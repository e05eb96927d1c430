"""Translate: line by line and sentence by sentence, so that nothing is lost and every line keeps its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from lmcli.protocols import Engine
from lmcli.tasks.side_by_side import side_by_side
from lmcli.tasks.translation_attempts import Answer, Ask, Attempts, Outcome, Talk
from lmcli.tasks.translation_check import TranslationCheck
from lmcli.tasks.translators import Translator, translator
from lmcli.text import markup
from lmcli.text.chinese import can_convert
from lmcli.text.formats import Format, format_in
from lmcli.text.glossary import Glossary
from lmcli.text.language import identify, language
from lmcli.text.layout import Segment, segments, written
from lmcli.text.markdown import outside_code
from lmcli.types import Chunk, Done, Event, Notice, Progress, SamplingParams

_TOLD = 10  # sentences that are told of one by one; the others under -v
_SURE = 2000  # characters that tell a language once and for all


@dataclass(frozen=True)
class Untranslated(Notice):
    """A sentence that stands as it was, and why."""


@dataclass(frozen=True)
class Translate:
    """The text in the language `target`; `source` None is found out. Both are codes of lmcli.text.language.

    `form` is how the text is laid out, None where it tells itself; `glossary` the terms whose translation is settled.
    """

    target: str
    source: str | None = None
    params: SamplingParams = field(default_factory=SamplingParams)
    form: Format | None = None
    glossary: Glossary = field(default_factory=Glossary)
    name: ClassVar[str] = "translate"
    answer: ClassVar[str] = "translation"

    def run(self, engine: Engine | None, text: str) -> Iterator[Event]:
        """One Chunk for each batch of sentences, in order; joined they have the lines of `text`.

        A text for which `needs_model` is false needs no `engine`; without one UsageError is raised for any other.
        """
        source, notice = source_of(text, self.source)
        if notice:
            yield notice
        if source == self.target:
            yield from _passed_through(text, source)
            return
        yield from self._job(engine, source).run(text)

    def run_many(self, engine: Engine | None, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The events of each text, in order; several are worked at once."""
        return side_by_side(self.run, engine, texts)

    def run_live(self, open_engine: Callable[[str], Engine], parts: Iterable[str]) -> Iterator[Event]:
        """A Chunk or more for each part, lines that came together, before the next part is asked for.

        The language is found out from all that came so far, until that is enough to be sure. `open_engine` is given
        it once an engine is needed, and only once.
        """
        seen, end, engine = "", Done("stop"), None
        jobs: dict[str, _Job] = {}
        for part, is_code in outside_code(parts):
            if is_code:
                yield Chunk(part)
                continue
            seen = seen if len(seen) > _SURE else seen + part
            source = self.source or source_of(seen, None)[0]
            if source == self.target:
                yield Chunk(part)
                continue
            if engine is None and needs_model(source, self.target):
                engine = open_engine(source)
            if source not in jobs:
                jobs[source] = self._job(engine, source)
            for event in jobs[source].run(part):
                if isinstance(event, Done):
                    end = _together(end, event)
                elif not isinstance(event, Progress):
                    yield event
        yield end

    def _job(self, engine: Engine | None, source: str) -> _Job:
        return _Job(self, translator(engine, source, self.target, self.params), source)


def source_of(text: str, told: str | None) -> tuple[str, Notice | None]:
    """The language of `text`: the one told, else the one identified, else English, with what to say about it."""
    if told:
        return told, None
    found = identify(text)
    if found:
        return found, Notice(f"the text is {language(found).name}; --from says otherwise", verbose=True)
    return "en", Notice("the text is too short to tell its language: taken for English, --from says otherwise", True)


def needs_model(source: str, target: str) -> bool:
    """Whether a checkpoint is needed: a text in the target language is as it is, Chinese characters are converted."""
    return source != target and not can_convert(source, target)


class _Job:
    """The translation of texts in one language by one translator."""

    def __init__(self, task: Translate, work: Translator, source: str) -> None:
        self._task, self._work, self._source = task, work, source
        spaced = language(task.target).spaced and not language(source).spaced
        check = TranslationCheck(source, task.target)
        self._attempts = Attempts(check, self._fits, spaced, bool(task.params.max_tokens))
        self._find = task.glossary.finder()

    def run(self, text: str) -> Iterator[Event]:
        """The events of one text."""
        laid_out = self._laid_out(text)
        todo = [segment for segment in laid_out if segment.translatable]
        outcomes, report = self._translated(todo), _Report()
        for done, batch in _batches(laid_out, self._work.batch):
            pairs: list[tuple[Segment, str | None]] = []
            for segment in batch:
                outcome = (yield from _next(outcomes, report)) if segment.translatable else None
                if outcome:
                    yield from report.note(segment, outcome)
                pairs.append((segment, outcome.text if outcome else None))
            yield Chunk("".join(self._written(pairs)))
            yield Progress(done, len(todo), "sentences")
        yield from _rest(outcomes, report)
        yield from report.end(len(todo))

    def _laid_out(self, text: str) -> list[Segment]:
        form = self._task.form or format_in(text)
        return list(segments(form.blocks(text), self._work.room, self._work.size))

    def _written(self, pairs: Sequence[tuple[Segment, str | None]]) -> Iterator[str]:
        return written(pairs, language(self._source).spaced, language(self._task.target).spaced)

    def _fits(self, text: str) -> bool:
        return self._work.size(text) <= self._work.room

    def _translated(self, todo: Sequence[Segment]) -> Iterator[Event | Outcome]:
        for first in range(0, len(todo), self._work.stretch):
            talks = [self._talk(segment) for segment in todo[first : first + self._work.stretch]]
            yield from _in_rounds(talks, self._work)

    def _talk(self, segment: Segment) -> Talk:
        spans = markup.with_nouns(segment.spans, self._find) if self._find else segment.spans
        return self._attempts.sentence(spans, segment.block.escape or str)


def _in_rounds(talks: Sequence[Talk], work: Translator) -> Iterator[Event | Outcome]:
    """The outcomes of conversations held side by side, in order, each as soon as those before it are there."""
    outcomes: dict[int, Outcome] = {}
    shown = 0
    waiting = {n: asks for n, talk in enumerate(talks) if (asks := _advanced(n, talk, None, outcomes))}
    while waiting:
        round_, waiting = waiting, {}
        answers = work.answers([ask for asks in round_.values() for ask in asks])
        for n, asks in round_.items():
            said: list[Answer] = []
            while len(said) < len(asks):
                said += yield from _until_answer(answers)
            if again := _advanced(n, talks[n], said, outcomes):
                waiting[n] = again
            while shown in outcomes:
                yield outcomes[shown]
                shown += 1
        yield from (event for event in answers if not isinstance(event, Answer))
    while shown in outcomes:
        yield outcomes[shown]
        shown += 1


def _advanced(n: int, talk: Talk, answers: list[Answer] | None, outcomes: dict[int, Outcome]) -> list[Ask] | None:
    """What conversation `n` asks next; None where it has ended, with its outcome."""
    try:
        return talk.send(answers)  # type: ignore[arg-type]  # a generator is begun with None
    except StopIteration as end:
        outcomes[n] = end.value
        return None


def _until_answer(answers: Iterator[Event | Answer]) -> Generator[Event, None, list[Answer]]:
    for event in answers:
        if isinstance(event, Answer):
            return [event]
        yield event
    raise AssertionError("fewer answers than asks")


class _Report:
    """What is to be said of a translation: what it took, what stands as it was, what was cut."""

    def __init__(self) -> None:
        self._done = Done("stop")
        self._kept = Counter[str]()
        self._cut = False

    def count(self, done: Done) -> None:
        self._done = _together(self._done, done)

    def note(self, segment: Segment, outcome: Outcome) -> Iterator[Event]:
        place = f"line {segment.block.line}"
        if outcome.flaw:
            told = sum(self._kept.values()) < _TOLD
            self._kept[outcome.flaw] += 1
            left = "left as it is" if outcome.text == segment.text else "left in part as it is"
            yield Untranslated(f"{place}: {left}, {outcome.flaw}: {_short(segment.text)}", verbose=not told)
        if outcome.cut:
            self._cut = True
            yield Notice(f"{place}: ended at its longest and may lack its end: {_short(segment.text)}")

    def end(self, total: int) -> Iterator[Event]:
        if (count := sum(self._kept.values())) > 1:
            why = ", ".join(f"{flaw} ({n})" for flaw, n in self._kept.most_common())
            yield Notice(f"{count} of {total} sentences, or parts of them, are left as they were: {why}")
        yield Done("length" if self._cut else self._done.finish_reason, self._done.usage)


def _next(outcomes: Iterator[Event | Outcome], report: _Report) -> Generator[Event, None, Outcome]:
    """The next outcome; the events before it are passed on, and what the work took is counted."""
    for event in outcomes:
        if isinstance(event, Outcome):
            return event
        if isinstance(event, Done):
            report.count(event)
        else:
            yield event
    raise AssertionError("fewer outcomes than sentences")


def _rest(outcomes: Iterator[Event | Outcome], report: _Report) -> Iterator[Event]:
    """What comes behind the last outcome."""
    for event in outcomes:
        if isinstance(event, Done):
            report.count(event)
        elif not isinstance(event, Outcome):
            yield event


def _batches(segments: Sequence[Segment], size: int) -> Iterator[tuple[int, list[Segment]]]:
    """Runs of segments with at most `size` to translate in each, and how many have been with them."""
    batch: list[Segment] = []
    count = done = 0
    for segment in segments:
        if segment.translatable and count == size:
            done += count
            yield done, batch
            batch, count = [], 0
        batch.append(segment)
        count += segment.translatable
    if batch:
        yield done + count, batch


def _passed_through(text: str, source: str) -> Iterator[Event]:
    yield Notice(f"the text is {language(source).name} already: it is passed through")
    yield Chunk(text)
    yield Done("stop")


def _together(first: Done, second: Done) -> Done:
    """The end of both: cut short if either was."""
    reason = second.finish_reason if first.finish_reason == "stop" else first.finish_reason
    return Done(reason, first.usage + second.usage)


def _short(sentence: str) -> str:
    line = " ".join(sentence.split())
    return line if len(line) <= 60 else line[:57] + "…"
