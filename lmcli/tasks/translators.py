"""Translators: how each kind of checkpoint is asked for many translations at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Protocol

from lmcli import tasks
from lmcli.errors import InputTooLong, UsageError
from lmcli.protocols import CausalEngine, Engine, Seq2SeqEngine
from lmcli.tasks import prompts
from lmcli.tasks.translation_attempts import Answer, Ask
from lmcli.text.chinese import conversion
from lmcli.text.language import language
from lmcli.types import Chunk, Done, Event, Notice, Prompt, SamplingParams

_FIRM = 1.2  # the repetition penalty that gets most sentences out of a circle


class Translator(Protocol):
    """Translates texts of up to `room` tokens; `batch` sentences are shown together, `stretch` handed over at once."""

    room: int
    batch: int
    stretch: int

    def size(self, text: str) -> int:
        """Tokens of `text`."""

    def answers(self, asks: Sequence[Ask]) -> Iterator[Event | Answer]:
        """An Answer for each, in order, each as soon as it can be; among them what the engine says, Dones too."""


def translator(engine: Engine | None, source: str, target: str, params: SamplingParams) -> Translator:
    """The translator between two codes: the conversion of characters where that is all there is to do, else that for
    the engine's kind.

    Raises CheckpointError for a classifier, UsageError where there is no engine and one is needed.
    """
    if convert := conversion(source, target):
        return CharacterConverter(convert)
    if engine is None:
        raise UsageError(
            f"it is {language(source).name}, and no checkpoint was loaded: the texts before it need none",
            "--from tells the language of them all",
        )
    params = replace(params, think=False)  # thoughts would use up a sentence's few tokens
    if tasks.is_seq2seq(engine):
        return Seq2SeqTranslator(engine, source, target, params)
    if tasks.is_causal(engine):
        return CausalTranslator(engine, source, target, params)
    raise tasks.refusal(engine, "translate")


class CharacterConverter:
    """The other characters of Chinese; no model takes part, so that nothing can get lost."""

    room, batch, stretch = 4096, 64, 64

    def __init__(self, convert: Callable[[str], str]) -> None:
        self._convert = convert

    def size(self, text: str) -> int:
        return len(text)

    def answers(self, asks: Sequence[Ask]) -> Iterator[Event | Answer]:
        yield from (Answer(self._convert(ask.text)) for ask in asks)


class Seq2SeqTranslator:
    """Translation by a checkpoint trained for it, many sentences at once."""

    batch = stretch = 64  # the engine sorts and pads them itself

    def __init__(self, engine: Seq2SeqEngine, source: str, target: str, params: SamplingParams) -> None:
        known = engine.languages()
        # A checkpoint that does not tell the two ways of writing Chinese apart knows it as zh.
        self._source = source if source in known else source.partition("-")[0]
        self._read = conversion(source, self._source)
        self._target = "zh" if target == "zh-Hant" and "zh" in known and target not in known else target
        self._write = conversion(self._target, target)
        self._notices = []
        if self._target != target and not self._write:
            self._notices.append("writes Simplified Chinese; with pip install 'lmcli[chinese]' it is made Traditional")
        if source == "zh-Hant" != self._source and not self._read:
            self._notices.append("may read Simplified Chinese better; pip install 'lmcli[chinese]' makes it that first")
        self._engine, self._params = engine, params
        self.room, self.size = engine.context_length, engine.count

    def answers(self, asks: Sequence[Ask]) -> Iterator[Event | Answer]:
        while self._notices:
            yield Notice(f"{self._engine.checkpoint.name} {self._notices.pop(0)}")
        for firmly, group in groupby(asks, lambda ask: ask.firmly):
            params = replace(self._params, repetition_penalty=_FIRM) if firmly else self._params
            yield from self._batch([ask.text for ask in group], params)

    def _batch(self, texts: Sequence[str], params: SamplingParams) -> Iterator[Event | Answer]:
        said: list[str] = []
        end = Done("stop")
        read = list(map(self._read, texts)) if self._read else texts
        for event in self._engine.rewrite(read, params, self._source, self._target):
            if isinstance(event, Chunk):
                said.append(self._write(event.text) if self._write else event.text)
            elif isinstance(event, Done):
                end = event
            else:
                yield event
        for text, answer in zip(texts, said, strict=True):
            yield Answer(answer, end.finish_reason == "length" and self._may_be_cut(text, answer))
        yield Done("stop", end.usage)

    def _may_be_cut(self, text: str, answer: str) -> bool:
        """Whether `answer`, of a batch in which one was cut, is long enough to be it."""
        limit = self._params.max_tokens or min(3 * self.size(text) + 32, self.room)
        return self.size(answer) > 0.8 * limit  # Its tokens are counted as the source's are.


class CausalTranslator:
    """Translation by prompt, a sentence each, several side by side."""

    batch = 1
    stretch = 64  # more would keep those that wait for another attempt waiting, and those behind them

    def __init__(self, engine: CausalEngine, source: str, target: str, params: SamplingParams) -> None:
        self._engine, self._source, self._target, self._params = engine, source, target, params
        self._instruction = engine.count(self._prompt(Ask("")))
        # A translation has up to three times the tokens of its sentence, and 32 for the shortest.
        # What is left over is for what merges at the seams, for an empty thought, and for naming the markers.
        self.room = (engine.context_length - self._instruction - 48) // 4
        if self.room < 8:
            raise InputTooLong(
                f"the context of {engine.checkpoint.name} holds {engine.context_length} tokens, too few to translate",
                "choose a checkpoint with a longer context",
            )

    def size(self, text: str) -> int:
        return self._engine.count(self._prompt(Ask(text))) - self._instruction

    def answers(self, asks: Sequence[Ask]) -> Iterator[Event | Answer]:
        prompts, params = map(self._fitting, asks), map(self._limited, asks)
        results = tasks.results(self._engine, list(prompts), list(params))
        for ask, result in zip(asks, results, strict=True):
            yield Answer("" if _only_announces(ask, result.text) else result.text, result.finish_reason == "length")
            yield Done("stop", result.usage)

    def _limited(self, ask: Ask) -> SamplingParams:
        longest = 3 * self.size(ask.text) + 32
        penalty = max(_FIRM, self._params.repetition_penalty) if ask.firmly else self._params.repetition_penalty
        most = min(self._params.max_tokens or longest, longest)
        return replace(self._params, max_tokens=most, repetition_penalty=penalty, stop=self._ends(ask))

    def _ends(self, ask: Ask) -> tuple[str, ...]:
        """What ends a translation besides the model: behind a blank line small models explain what they have said.

        A base checkpoint continues the list. Asked firmly a chat model ends as it will: it may begin with a blank line.
        """
        if not self._engine.checkpoint.instruct:
            return (*self._params.stop, "\n")
        return self._params.stop if ask.firmly else (*self._params.stop, "\n\n")

    def _fitting(self, ask: Ask) -> Prompt:
        """The prompt, without the markers' names where they are too many for the context."""
        prompt = self._prompt(ask)
        longest = 3 * self.size(ask.text) + 32
        fits = self._engine.count(prompt) + longest <= self._engine.context_length
        return prompt if fits else self._prompt(replace(ask, markers=(), firmly=False))

    def _prompt(self, ask: Ask) -> Prompt:
        instruct = self._engine.checkpoint.instruct
        return prompts.translation(ask.text, self._source, self._target, instruct, ask.markers, ask.firmly)


def _only_announces(ask: Ask, answer: str) -> bool:
    """Whether `answer` is "Here is the translation:" and what follows stood behind the blank line that ended it."""
    return not ask.firmly and answer.rstrip().endswith((":", "：")) and not ask.text.rstrip().endswith((":", "："))
