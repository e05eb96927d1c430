"""Generate: continue a text, or answer it through the chat template."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from lmcli import tasks
from lmcli.protocols import CausalEngine, Engine
from lmcli.types import Conversation, Event, Notice, Prompt, SamplingParams

DEFAULT_MAX_TOKENS = 512


@dataclass(frozen=True)
class Generate:
    """The continuation of a prompt as it is, or with `chat` the assistant's answer to it.

    A base checkpoint has no chat template: it continues the system message and the prompt. Where
    `params.max_tokens` is None the answer has 512 tokens at most, or what the context leaves.
    """

    params: SamplingParams
    chat: bool = False
    system: str | None = None
    name: ClassVar[str] = "generate"

    def run(self, engine: Engine, text: str) -> Iterator[Event]:
        """Raises InputTooLong where the prompt leaves no room for an answer."""
        if not tasks.is_causal(engine):
            raise tasks.refusal(engine, self.name)
        yield from self.notices(engine)
        prompt = self.prompt(text, engine)
        params = replace(self.params, max_tokens=self.params.max_tokens or DEFAULT_MAX_TOKENS)
        events = engine.stream(prompt, params)
        # Of an answer that has to be whole the command says more than that it was cut.
        yield from events if params.grammar else tasks.with_ending(engine, events, self.params.max_tokens)

    def notices(self, engine: CausalEngine) -> Iterator[Event]:
        """What the user should know of how the prompt is taken."""
        if self.chat and not engine.checkpoint.instruct:
            yield Notice(f"{engine.checkpoint.name} has no chat template: it continues the prompt")

    def prompt(self, text: str, engine: CausalEngine) -> Prompt:
        """What the engine is given for `text`."""
        if self.chat and engine.checkpoint.instruct:
            return Conversation.ask(text, self.system)
        return f"{self.system}\n\n{text}" if self.system else text
