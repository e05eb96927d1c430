"""Tokens: how probable each token of an answer, or of a given text, is to a language model, and its rivals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from lmcli import tasks
from lmcli.protocols import Engine
from lmcli.tasks.generate import DEFAULT_MAX_TOKENS, Generate
from lmcli.types import Event


@dataclass(frozen=True)
class Tokens:
    """A Choice for each token of what `generate` writes, or of the text `given` in its place.

    Each comes with as many `rivals`. A given text may be longer than the context.
    """

    generate: Generate
    rivals: int = 3
    given: str | None = None
    name: ClassVar[str] = "explain"

    def run(self, engine: Engine, text: str) -> Iterator[Event]:
        """Raises InputTooLong where the prompt leaves no room for an answer."""
        if not tasks.is_causal(engine):
            raise tasks.refusal(engine, "explain tokens")
        yield from self.generate.notices(engine)
        asked = self.generate.params
        params = replace(asked, max_tokens=asked.max_tokens or DEFAULT_MAX_TOKENS)
        events = engine.explain(self.generate.prompt(text, engine), params, self.rivals, self.given)
        yield from tasks.with_ending(engine, events, asked.max_tokens)
