"""What a typed line means: a question, or a slash command that makes the next session from this one."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from lmcli.errors import LmcliError
from lmcli.parameters import PARAMETERS
from lmcli.render.plain import statistics
from lmcli.repl.session import Session, Step
from lmcli.types import Conversation, SamplingParams

BLOCK = '"""'


def follow(line: str, session: Session) -> Step:
    """The step that `line` asks for; `//text` is the question `/text`, a block in triple quotes is one."""
    if _is_block(line):
        return _question(_inside(line), session)
    if line.startswith("//"):
        return _question(line[1:], session)
    if not line.startswith("/"):
        return _question(line, session)
    name, _, argument = line[1:].partition(" ")
    name = ALIASES.get(name.strip(), name.strip())
    if name not in COMMANDS:
        return Step(session, say=f"no command '/{name}'; {_suggestion(name)}")
    return COMMANDS[name].run(session, argument.strip())


def is_open(text: str) -> bool:
    """Whether `text` is a block that began with triple quotes and has not ended yet."""
    return text.startswith(BLOCK) and BLOCK not in text[len(BLOCK) :]


def show_help(session: Session, argument: str) -> Step:
    rows = [(f"/{name} {command.argument}".rstrip(), command.help) for name, command in COMMANDS.items()]
    rows += [("//text", "send a text that begins with a slash"), *KEYS]
    return Step(session, say="\n".join(f"{left:<18} {right}" for left, right in rows))


def clear(session: Session, argument: str) -> Step:
    opening = session.with_system(session.system)
    kept = tuple(m for m in opening.conversation.messages if m.role == "system")
    cleared = replace(opening, conversation=Conversation(kept), unanswered=None, last=None)
    return Step(cleared, say="(the conversation is cleared)")


def system(session: Session, argument: str) -> Step:
    if argument == "-":
        return Step(session.with_system(None), say="(no system message)")
    if argument:
        return Step(session.with_system(argument), say="(system message set)")
    return Step(session, say=f"{session.system or 'no system message'}\n/system TEXT sets it, /system - removes it")


def set_parameter(session: Session, argument: str) -> Step:
    name, _, value = argument.replace("=", " ", 1).partition(" ")
    name, value = name.replace("-", "_"), value.strip()
    if not name:
        return Step(session, say=_parameters(session.params))
    if name not in PARAMETERS:
        near = difflib.get_close_matches(name, PARAMETERS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(PARAMETERS)}"
        return Step(session, say=f"no parameter '{name}'; {hint}")
    if not value:
        return Step(session, say=f"{name} {_shown(getattr(session.params, name))} · takes {PARAMETERS[name].takes}")
    try:
        params = replace(session.params, **{name: PARAMETERS[name].read(value)})
    except ValueError:
        return Step(session, say=f"{name} takes {PARAMETERS[name].takes}, not '{value}'")
    return Step(replace(session, params=params), say=f"({name} is {_shown(getattr(params, name))})")


def show(session: Session, argument: str) -> Step:
    checkpoint = session.checkpoint
    turns = len(session.turns) // 2
    size = f"{checkpoint.num_parameters / 1e6:,.0f} M parameters"
    left_out = f", the oldest {session.left_out} left out" if session.left_out else ""
    return Step(
        session,
        say="\n".join([
            f"checkpoint   {checkpoint.name} ({checkpoint.model_type}, {size}, {checkpoint.dtype})",
            f"folder       {checkpoint.path}",
            f"system       {session.system or 'none'}",
            f"turns        {turns}{left_out}",
            f"context      {_used(session)}",
            _parameters(session.params),
        ]),
    )  # fmt: skip


def retry(session: Session, argument: str) -> Step:
    before, question = session.undone()
    if question is None:
        return Step(session, say="there is nothing to retry")
    greedy = session.params.temperature == 0 and session.unanswered is None
    note = "(temperature is 0: the answer stays the same; /set temperature 0.7 varies it)" if greedy else ""
    return Step(before, say=note, question=question, retry=True)


def undo(session: Session, argument: str) -> Step:
    before, question = session.undone()
    if question is None:
        return Step(session, say="there is nothing to undo")
    return Step(before, draft=question)


def stats(session: Session, argument: str) -> Step:
    if session.last is None:
        return Step(session, say="there is no answer yet")
    if session.last.finish_reason == "interrupted":
        return Step(session, say="the last answer was interrupted and not measured")
    return Step(session, say=statistics(session.last))


def leave(session: Session, argument: str) -> Step:
    return Step(session, leave=True)


@dataclass(frozen=True)
class Command:
    run: Callable[[Session, str], Step]
    help: str
    argument: str = ""


COMMANDS = {
    "help": Command(show_help, "show this"),
    "clear": Command(clear, "forget the conversation, keep the system message"),
    "system": Command(system, "show or set the system message", "[TEXT]"),
    "set": Command(set_parameter, "set a sampling parameter", "NAME VALUE"),
    "show": Command(show, "checkpoint, system message, parameters, context used"),
    "retry": Command(retry, "ask the last question again"),
    "undo": Command(undo, "take the last question back and edit it"),
    "stats": Command(stats, "tokens and speed of the last answer"),
    "exit": Command(leave, "leave, as do /bye, /quit and Ctrl-D"),
}
ALIASES = {"?": "help", "bye": "exit", "quit": "exit"}
KEYS = [
    ('"""', "begin and end a block of several lines"),
    ("Alt-Enter", "begin a new line; Enter sends"),
    ("Tab", "complete a command"),
    ("Ctrl-C", "stop the answer, or clear the line; twice leaves"),
]


def _question(text: str, session: Session) -> Step:
    return Step(session, question=text) if text.strip() else Step(session)


def _is_block(text: str) -> bool:
    """Whether the quotes hold all of `text`; a pasted module that begins with its docstring is no block."""
    return text.startswith(BLOCK) and not text[len(BLOCK) :].partition(BLOCK)[2].strip()


def _inside(block: str) -> str:
    return block[len(BLOCK) :].partition(BLOCK)[0].strip("\n")


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, [*COMMANDS, *ALIASES], n=1)
    return f"did you mean '/{near[0]}'?" if near else "/help lists them, //text sends a text that begins with a slash"


def _used(session: Session) -> str:
    if session.engine is None:
        return "still loading"
    try:
        # A template may refuse a conversation in which nobody has spoken.
        used = session.engine.count(session.sent()) if session.turns else 0
    except LmcliError as error:
        return error.message
    return f"{used} of {session.engine.context_length} tokens"


def _parameters(params: SamplingParams) -> str:
    shown = [
        f"{field.name} {_shown(getattr(params, field.name))}" for field in fields(params) if field.name in PARAMETERS
    ]
    return f"parameters   {', '.join(shown[:4])},\n             {', '.join(shown[4:])}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(repr, value)) or "none"
    return "none" if value is None else str(value)
