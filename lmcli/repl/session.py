"""The chat's session: what was said, what is sent of it, and one turn of question and answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lmcli.errors import InputTooLong, LmcliError
from lmcli.protocols import CausalEngine
from lmcli.types import Checkpoint, Conversation, Done, Event, Message, Notice, Reasoning, SamplingParams, TaskResult


@dataclass(frozen=True)
class Session:
    """A chat at one moment.

    `conversation` is an optional system message and whole turns, a user's and an assistant's message each;
    a question without an answer waits in `unanswered`. The oldest `left_out` turns are kept here but no
    longer sent. `engine` is None while the checkpoint loads, `last` is the result of the last answer.
    """

    checkpoint: Checkpoint
    params: SamplingParams = field(default_factory=SamplingParams)
    conversation: Conversation = field(default_factory=Conversation)
    left_out: int = 0
    unanswered: str | None = None
    last: TaskResult | None = None
    engine: CausalEngine | None = None

    @property
    def system(self) -> str | None:
        return next((m.content for m in self.conversation.messages[:1] if m.role == "system"), None)

    @property
    def turns(self) -> tuple[Message, ...]:
        """The messages after the system message, two for each turn."""
        return self.conversation.messages[1 if self.system is not None else 0 :]

    def with_system(self, system: str | None) -> Session:
        """The same turns under another system message, or none."""
        opening = (Message("system", system),) if system is not None else ()
        return replace(self, conversation=Conversation(opening + self.turns), left_out=0)

    def sent(self, question: str | None = None) -> Conversation:
        """What the engine is sent: the system message, the turns not left out, and `question`."""
        opening = self.conversation.messages[: len(self.conversation.messages) - len(self.turns)]
        kept = Conversation(opening + self.turns[2 * self.left_out :])
        return kept if question is None else kept.add("user", question)

    def answered(self, question: str, result: TaskResult) -> Session:
        """The session after an answer; one of which nothing came leaves the question unanswered."""
        if not result.text:
            return replace(self, unanswered=question)
        conversation = self.conversation.add("user", question).add("assistant", result.text)
        return replace(self, conversation=conversation, unanswered=None, last=result)

    def undone(self) -> tuple[Session, str | None]:
        """The session before the last question, and that question; None where there is none."""
        if self.unanswered is not None:
            return replace(self, unanswered=None), self.unanswered
        if not self.turns:
            return self, None
        conversation = Conversation(self.conversation.messages[:-2])
        return replace(self, conversation=conversation, left_out=0), self.turns[-2].content


@dataclass(frozen=True)
class Step:
    """What follows a line the user typed.

    `say` is shown, `question` is put to the engine (with a fresh seed where `retry`), `draft` is offered for
    editing at the next prompt, `leave` ends the chat; `interrupted` says that Ctrl-C ended an answer.
    """

    session: Session
    say: str = ""
    question: str | None = None
    retry: bool = False
    draft: str = ""
    leave: bool = False
    interrupted: bool = False


def take_turn(
    session: Session, engine: CausalEngine, question: str, draw: Callable[[Event], None], retry: bool = False
) -> Step:
    """Put `question` to `engine` and draw its events as they come.

    Ctrl-C and errors end the answer, not the chat, and what came until then is kept.
    """
    received: list[Event] = []
    before = session
    try:
        session = make_room(before, engine, question)
        params = replace(session.params, seed=None) if retry else session.params
        for event in engine.stream(session.sent(question), params):
            if not received and session.left_out > before.left_out:
                draw(_left_out(session, engine))
            received.append(event)
            draw(event)
    except KeyboardInterrupt:
        received.append(Done("interrupted"))
        return Step(session.answered(question, TaskResult.fold(received)), interrupted=True)
    except InputTooLong as error:
        return Step(before, say=_in_words(error), draft=question)
    except LmcliError as error:
        return Step(session.answered(question, TaskResult.fold(received)), say=_in_words(error))
    result = TaskResult.fold(received)
    return Step(session.answered(question, result), say=_ending(session, result, received))


def make_room(session: Session, engine: CausalEngine, question: str) -> Session:
    """Leave out as many of the oldest turns as it takes for `question` and its answer to fit the context.

    Once the context is full, half of it is freed in one go: the turns after that begin with the same tokens
    again and find them in the KV cache. A question that does not fit by itself is left alone, for the engine to
    refuse.
    """
    context = engine.context_length
    room = min(session.params.max_tokens or context // 4, context // 2)
    if engine.count(session.sent(question)) + room <= context:
        return session
    shorter = [replace(session, left_out=n) for n in range(session.left_out, len(session.turns) // 2 + 1)]
    sizes = [engine.count(candidate.sent(question)) for candidate in shorter]
    for limit in (context // 2, context - room, context - 1):
        for candidate, size in zip(shorter, sizes, strict=True):
            if size <= limit:
                return candidate
    return shorter[-1]


def _left_out(session: Session, engine: CausalEngine) -> Notice:
    turns = f"{session.left_out} oldest turn{'s' if session.left_out > 1 else ''}"
    return Notice(f"(the context of {engine.context_length} tokens is full: {turns} left out)")


def _ending(session: Session, result: TaskResult, received: Sequence[Event]) -> str:
    if result.finish_reason == "length":
        thinking = not result.text.strip() and any(isinstance(event, Reasoning) for event in received)
        what = "stopped while still thinking" if thinking else "stopped"
        limit = session.params.max_tokens
        if limit is not None and result.usage.completion_tokens >= limit:
            return f"({what} after {limit} tokens; /set max_tokens none lifts the limit)"
        return f"({what}: the context is full; /clear begins anew)"
    return "" if result.text else "(no answer came; /retry asks again)"


def _in_words(error: LmcliError) -> str:
    return f"{error.message}\n  hint: {error.hint}" if error.hint else error.message
