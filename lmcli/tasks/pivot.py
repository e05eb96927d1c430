"""Pivot: two translation checkpoints, one after the other, where none knows both languages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lmcli.protocols import Seq2SeqEngine
from lmcli.text.segment import parts
from lmcli.types import Chunk, Done, Event, Prompt, SamplingParams


class Pivot:
    """protocols.Seq2SeqEngine from the first engine's language into the second's, through the language `by`."""

    def __init__(self, first: Seq2SeqEngine, second: Seq2SeqEngine, by: str = "en") -> None:
        self._first, self._second, self._by = first, second, by
        name = f"{first.checkpoint.name} + {second.checkpoint.name}"
        self.checkpoint = replace(first.checkpoint, name=name)
        self.context_length = min(first.context_length, second.context_length)

    def count(self, prompt: Prompt) -> int:
        return self._first.count(prompt)

    def languages(self) -> tuple[str, ...]:
        return self._second.languages()

    def rewrite(
        self, texts: Sequence[str], params: SamplingParams, source: str | None = None, target: str | None = None
    ) -> Iterator[Event]:
        between, spent = [], Done("stop")
        for event in self._first.rewrite(texts, params, source, self._by):
            if isinstance(event, Chunk):
                between.append(self._fitting(event.text))
            elif isinstance(event, Done):
                spent = event
            else:
                yield event
        pieces = [piece for each in between for piece in each]
        said: list[str] = []
        for event in self._second.rewrite(pieces, params, self._by, target) if pieces else ():
            if isinstance(event, Chunk):
                said.append(event.text)
            elif isinstance(event, Done):
                reason = spent.finish_reason if event.finish_reason == "stop" else event.finish_reason
                spent = Done(reason, spent.usage + event.usage)
            else:
                yield event
        answers = iter(said)
        for each in between:
            yield Chunk(" ".join(next(answers) for _ in each))
        yield spent

    def _fitting(self, text: str) -> list[str]:
        """What is said in between, in pieces that the second has room for; nothing where nothing came."""
        if not text.strip():
            return []
        fits = self._second.count(text) <= self._second.context_length
        return [text] if fits else parts(text, self._second.context_length, self._second.count)
