"""Chats: the messages of a row, in the forms that chat data comes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmcli.errors import InputError
from lmcli.types import Message, Role

# OpenAI's names, ShareGPT's, and those of sets that were made from them.
_ROLES: Mapping[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant", "model": "assistant",
}  # fmt: skip


def messages(value: Any, system: str = "") -> tuple[Message, ...]:
    """The messages of a list: of objects with role and content, of objects with from and value (ShareGPT), or of
    strings that are said by user and assistant in turn. `system` stands before them.

    Raises InputError for anything else and for a role that has no place in a chat.
    """
    if not isinstance(value, list) or not value:
        raise InputError("its messages are no list, or an empty one", 'a message is {"role": "user", "content": …}')
    opening = (Message("system", system),) if system else ()
    if all(isinstance(turn, str) for turn in value):
        return opening + tuple(Message(_turn(number), turn) for number, turn in enumerate(value))
    return opening + tuple(map(_message, value))


def exchange(prompt: str, response: str, system: str = "") -> tuple[Message, ...]:
    """A prompt and its response as a chat."""
    opening = (Message("system", system),) if system else ()
    return (*opening, Message("user", prompt), Message("assistant", response))


def _turn(number: int) -> Role:
    return "assistant" if number % 2 else "user"


def _message(value: Any) -> Message:
    if not isinstance(value, dict):
        raise InputError("one of its messages is no object")
    name, content = value.get("role", value.get("from")), value.get("content", value.get("value"))
    role = _ROLES.get(str(name).casefold())
    if role is None:
        raise InputError(f"a message has the role '{name}'", "the roles are system, user and assistant")
    if isinstance(content, list):  # OpenAI's parts: only those of text are text.
        content = "".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
    if not isinstance(content, str):
        raise InputError("one of its messages has no text")
    return Message(role, content)
