"""Translate: line by line and sentence by sentence, so that nothing is lost and every line keeps its place."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

from lmcli import tasks
from lmcli.errors import InputTooLong, UsageError
from lmcli.tasks import prompts
from lmcli.tasks.side_by_side import side_by_side
from lmcli.text.language import identify, language
from lmcli.text.layout import Segment, joined, literals, segments
from lmcli.types import (
    CausalEngine,
    Chunk,
    Done,
    Engine,
    Event,
    Notice,
    Progress,
    Prompt,
    SamplingParams,
    Seq2SeqEngine,
)  # fmt: skip

_BATCH = 64  # sentences at once; an encoder-decoder sorts and pads them itself
_STRETCH = 256  # sentences a language model is handed; more would take long to make prompts of before the first
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "«": "»", "„": "“"}


@dataclass(frozen=True)
class Translate:
    """The text in the language `target`; `source` None is found out. Both are codes of lmcli.text.language."""

    target: str
    source: str | None = None
    params: SamplingParams = field(default_factory=SamplingParams)
    name: ClassVar[str] = "translate"
    answer: ClassVar[str] = "translation"

    def run_many(self, engine: Engine | None, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
        """The events of each text, in order; several are worked at once."""
        return side_by_side(self.run, engine, texts)

    def run(self, engine: Engine | None, text: str) -> Iterator[Event]:
        """One Chunk for each batch of sentences, in order; joined they have the lines of `text`.

        A text in the target language needs no `engine`.
        """
        source, notice = source_of(text, self.source)
        if notice:
            yield notice
        if source == self.target:
            yield Notice(f"the text is {language(source).name} already: it is passed through")
            yield Chunk(text)
            yield Done("stop")
            return
        if engine is None:
            raise UsageError(
                f"it is {language(source).name}, and no checkpoint was loaded: the texts before it are "
                f"{language(self.target).name}", "--from tells the language of them all",
            )  # fmt: skip
        yield from self._translate(engine, text, source)

    def _translate(self, engine: Engine, text: str, source: str) -> Iterator[Event]:
        params = replace(self.params, think=False)  # thoughts would use up a sentence's few tokens
        work = _worker(engine, source, self.target, params)
        laid_out = segments(text, work.room, work.size)
        todo = [segment.text for segment in laid_out if segment.translatable]
        translated, done, end = work.translate(todo), 0, Done("stop")
        for batch in _batches(laid_out, work.batch):
            part = (yield from _next(translated)) if todo else _Part([], end)
            yield Chunk(joined(batch, part.answers, language(source).spaced, language(self.target).spaced))
            end, done = _together(end, part.end), done + len(part.answers)
            yield Progress(done, len(todo), "sentences")
        yield end


def source_of(text: str, told: str | None) -> tuple[str, Notice | None]:
    """The language of `text`: the one told, else the one identified, else English, with what to say about it."""
    if told:
        return told, None
    found = identify(text)
    if found:
        return found, Notice(f"the text is {language(found).name}; --from says otherwise", verbose=True)
    return "en", Notice("the text is too short to tell its language: taken for English, --from says otherwise", True)


def _batches(segments: Sequence[Segment], size: int) -> Iterator[list[Segment]]:
    """Runs of segments with at most `size` to translate in each."""
    batch: list[Segment] = []
    count = 0
    for segment in segments:
        if segment.translatable and count == size:
            yield batch
            batch, count = [], 0
        batch.append(segment)
        count += segment.translatable
    if batch:
        yield batch


@dataclass(frozen=True)
class _Part:
    """The translations of the next sentences, each of one line and never empty, and the Done of them all."""

    answers: Sequence[str]
    end: Done


def _next(translated: Iterator[Event | _Part]) -> Generator[Event, None, _Part]:
    """The next part; the events before it are passed on."""
    for event in translated:
        if isinstance(event, _Part):
            return event
        yield event
    raise AssertionError("fewer translations than sentences")


class _Worker(Protocol):
    """Translates sentences up to `room` tokens and hands them over `batch` at a time."""

    room: int
    batch: int

    def size(self, text: str) -> int:
        """Tokens of `text`."""

    def translate(self, sentences: Sequence[str]) -> Iterator[Event | _Part]:
        """All the sentences of a text, a part for each `batch` of them; before it what there is to say of it."""


def _worker(engine: Engine, source: str, target: str, params: SamplingParams) -> _Worker:
    if tasks.is_seq2seq(engine):
        return _Seq2SeqWorker(engine, source, target, params)
    if tasks.is_causal(engine):
        return _CausalWorker(engine, source, target, params)
    raise tasks.refusal(engine, Translate.name)


class _Seq2SeqWorker:
    """Translation by a checkpoint trained for it, many sentences at once."""

    batch = _BATCH

    def __init__(self, engine: Seq2SeqEngine, source: str, target: str, params: SamplingParams) -> None:
        # A checkpoint that does not tell the two ways of writing Chinese apart knows it as zh.
        self._source = source if source in engine.languages() else source.partition("-")[0]
        self._engine, self._target, self._params = engine, target, params
        self.room, self.size = engine.context_length, engine.count

    def translate(self, sentences: Sequence[str]) -> Iterator[Event | _Part]:
        for first in range(0, len(sentences), self.batch):
            yield (yield from self._part(sentences[first : first + self.batch]))

    def _part(self, sentences: Sequence[str]) -> Generator[Event, None, _Part]:
        answers: list[str] = []
        end = Done("stop")
        for event in self._engine.rewrite(sentences, self._params, self._source, self._target):
            if isinstance(event, Chunk):
                answers.append((yield from _checked(sentences[len(answers)], event.text)))
            elif isinstance(event, Done):
                end = event
                if event.finish_reason == "length":
                    yield Notice("a translation ended at its longest and may lack its end")
            else:
                yield event
        return _Part(answers, end)


class _CausalWorker:
    """Translation by prompt, a sentence each, several side by side."""

    batch = 1

    def __init__(self, engine: CausalEngine, source: str, target: str, params: SamplingParams) -> None:
        self._engine, self._source, self._target, self._params = engine, source, target, params
        self._instruction = engine.count(self._prompt(""))
        # A translation has up to three times the tokens of its sentence, and 32 for the shortest.
        # What is left over is for what merges at the seams, and for an empty thought.
        self.room = (engine.context_length - self._instruction - 48) // 4
        if self.room < 8:
            raise InputTooLong(
                f"the context of {engine.checkpoint.name} holds {engine.context_length} tokens, too few to translate",
                "choose a checkpoint with a longer context",
            )

    def size(self, text: str) -> int:
        return self._engine.count(self._prompt(text)) - self._instruction

    def translate(self, sentences: Sequence[str]) -> Iterator[Event | _Part]:
        for first in range(0, len(sentences), _STRETCH):
            stretch = sentences[first : first + _STRETCH]
            prompts, params = map(self._prompt, stretch), map(self._limited, stretch)
            results = tasks.results(self._engine, list(prompts), list(params))
            for sentence, result in zip(stretch, results, strict=True):
                if result.finish_reason == "length":
                    yield Notice(f"the translation ended at its longest and may lack its end: {_short(sentence)}")
                answer = yield from _checked(sentence, result.text)
                yield _Part([answer], Done(result.finish_reason, result.usage))

    def _limited(self, sentence: str) -> SamplingParams:
        longest = 3 * self.size(sentence) + 32
        return replace(self._params, max_tokens=min(self._params.max_tokens or longest, longest))

    def _prompt(self, sentence: str) -> Prompt:
        return prompts.translation(sentence, self._source, self._target, self._engine.checkpoint.instruct)


def _together(first: Done, second: Done) -> Done:
    """The end of both: cut short if either was."""
    reason = second.finish_reason if first.finish_reason == "stop" else first.finish_reason
    return Done(reason, first.usage + second.usage)


def _checked(sentence: str, answer: str) -> Generator[Event, None, str]:
    """`answer` on one line and without quotation marks of its own; where nothing came, the sentence."""
    text = " ".join(answer.split("\n")).replace("\r", " ").strip()
    if sentence[0] not in _QUOTES:
        text = _unquoted(text)
    if not text:
        yield Notice(f"no translation came, the sentence is passed through: {_short(sentence)}")
        return sentence
    if lost := [literal for literal in literals(sentence) if literal not in text]:
        yield Notice(f"the translation lacks {', '.join(lost)}: {_short(sentence)}")
    return text


def _unquoted(text: str) -> str:
    """`text` without the pair of quotation marks around all of it; "Jia" and "Yi" has two pairs."""
    inner = text[1:-1]
    around = len(text) > 1 and _QUOTES.get(text[0]) == text[-1]
    return inner.strip() if around and text[0] not in inner and text[-1] not in inner else text


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= 60 else sentence[:57] + "…"
