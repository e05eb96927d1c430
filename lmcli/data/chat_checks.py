"""Chat checks: whether the turns of a conversation are in an order that it can be learned in."""

from __future__ import annotations

from lmcli.data.examples import Example
from lmcli.data.findings import Checked


def check_turns(data: Checked) -> Checked:
    """Without the conversations in which nothing is answered, or in which the turns are out of order."""
    data = data.without("no answer", "without an answer of the assistant", _is_unanswered)
    return data.without(
        "turns",
        "the turns out of order",
        _is_disordered,
        "after a system message, if there is one, user and assistant take turns, and the user begins",
    )


def _is_unanswered(example: Example) -> bool:
    return not any(message.role == "assistant" and message.content.strip() for message in example.messages)


def _is_disordered(example: Example) -> bool:
    roles = [message.role for message in example.messages]
    turns = roles[1:] if roles[0] == "system" else roles
    return any(role != ("assistant" if number % 2 else "user") for number, role in enumerate(turns))
