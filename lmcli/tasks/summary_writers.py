"""Writers of summaries, one a kind of checkpoint: how a text, or its parts side by side, become summaries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from lmcli import tasks
from lmcli.errors import UsageError
from lmcli.protocols import CausalEngine, Engine, Seq2SeqEngine
from lmcli.tasks import prompts
from lmcli.tasks.summary_form import Size, SummaryForm, lay_out
from lmcli.tasks.summary_stream import bounded, shaped
from lmcli.text.sections import sections
from lmcli.text.segment import sentences
from lmcli.types import Chunk, Done, Event, FinishReason, Notice, Prompt, SamplingParams, Usage


class Writer(Protocol):
    """Writes summaries of texts up to `room` tokens."""

    room: int

    def size(self, text: str) -> int:
        """Tokens of `text`."""

    def divide(self, text: str) -> list[str]:
        """The text in parts of at most `room` tokens."""

    def write(self, text: str) -> Iterator[Event]:
        """The summary, as a stream."""

    def write_parts(self, texts: Sequence[str], longest: int) -> Iterator[Event]:
        """One Chunk for each text, of at most `longest` tokens, then Done."""


def writer_for(engine: Engine, form: SummaryForm, params: SamplingParams, task: str) -> Writer:
    """Raises CheckpointError for a kind that cannot summarize, UsageError where it cannot do so in that `form`."""
    longest = params.max_tokens or min(3 * form.words + 32, engine.context_length // 4)
    params = replace(params, max_tokens=longest, think=False)  # thoughts would use the tokens up
    if tasks.is_causal(engine):
        return CausalWriter(engine, params, form)
    if tasks.is_seq2seq(engine):
        return Seq2SeqWriter(engine, params, form)
    raise tasks.refusal(engine, task)


class CausalWriter:
    """Summaries by prompt. `room` is how many tokens of text fit beside the instruction and the answer."""

    def __init__(self, engine: CausalEngine, params: SamplingParams, form: SummaryForm) -> None:
        self._engine, self._params, self._form = engine, params, form
        self._instruction = engine.count(self._prompt("", form))
        # Sixteen tokens for what may merge or part where text and instruction meet, and for an empty thought.
        self.room = engine.context_length - self._instruction - (params.max_tokens or 0) - 16

    def size(self, text: str) -> int:
        return self._engine.count(self._prompt(text, self._form)) - self._instruction

    def divide(self, text: str) -> list[str]:
        # A template takes longer to fill in than a sentence to count: count without it, then check the parts.
        pieces = sections(text, self.room, self._engine.count)
        fit = all(self.size(piece) <= self.room for piece in pieces)
        return pieces if fit else sections(text, self.room, self.size)

    def write(self, text: str) -> Iterator[Event]:
        checkpoint, prompt = self._engine.checkpoint, self._prompt(text, self._form)
        if not checkpoint.instruct:
            yield Notice(f"{checkpoint.name} is a base checkpoint: it continues 'Summary:'", verbose=True)
        events = self._engine.stream(prompt, self._params)
        events = bounded(events, self._form, self._engine.count(prompt), self._engine.count)
        yield from shaped(events, self._form.layout)

    def write_parts(self, texts: Sequence[str], longest: int) -> Iterator[Event]:
        longest = min(longest, self._params.max_tokens or longest)
        form = self._form_of_parts(longest)
        reason: FinishReason = "stop"
        spent = Usage()
        params = replace(self._params, max_tokens=longest)
        for result in tasks.results(self._engine, [self._prompt(text, form) for text in texts], [params] * len(texts)):
            spent += result.usage
            reason = result.finish_reason if reason == "stop" else reason
            yield Chunk(result.text)
        yield Done(reason, spent)

    def _form_of_parts(self, longest: int) -> SummaryForm:
        """A paragraph in the text's own language: only the last summary has the form that was asked for."""
        size = Size(max(longest // 3, 10))
        return replace(self._form, size=size, layout="paragraph", language=self._form.source)

    def _prompt(self, text: str, form: SummaryForm) -> Prompt:
        return prompts.summary(text, form, self._engine.checkpoint.instruct)


class Seq2SeqWriter:
    """Summaries by a checkpoint that was trained to write them: it is told nothing, and its sentences are laid out."""

    def __init__(self, engine: Seq2SeqEngine, params: SamplingParams, form: SummaryForm) -> None:
        wish = "--focus" if form.focus else "--lang" if form.language != form.source else ""
        if wish:
            raise UsageError(
                f"{engine.checkpoint.name} was trained for summaries alone; {wish} does not reach it",
                "choose a chat model: lmcli summarize -m smollm2",
            )
        self._engine, self._params, self._form = engine, params, form
        self.room = engine.context_length

    def size(self, text: str) -> int:
        return self._engine.count(text)

    def divide(self, text: str) -> list[str]:
        return sections(text, self.room, self.size)

    def write(self, text: str) -> Iterator[Event]:
        for event in self._engine.rewrite([text], self._params):
            if isinstance(event, Chunk) and (self._form.sentences or self._form.layout == "bullets"):
                written = sentences(event.text)[: self._form.sentences]
                event = Chunk(lay_out(written, self._form.layout, self._form.source))
            yield event

    def write_parts(self, texts: Sequence[str], longest: int) -> Iterator[Event]:
        longest = min(longest, self._params.max_tokens or longest)
        return self._engine.rewrite(texts, replace(self._params, max_tokens=longest))
