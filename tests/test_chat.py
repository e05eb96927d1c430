"""`lmcli chat` in a script: one question, one answer."""

from __future__ import annotations

import json

import pytest
from scripted import ScriptedEngine, checkpoint, invoke


def test_the_prompt_is_answered_once() -> None:
    engine = ScriptedEngine(["Paris."])
    result = invoke("chat", "Capital of France?", engine=engine)
    assert (result.code, result.stdout) == (0, "Paris.\n")
    assert engine.prompts == ["Capital of France?"]
    assert engine.params[0].temperature == 0.2


def test_standard_input_follows_the_prompt() -> None:
    engine = ScriptedEngine(["Fix."])
    invoke("chat", "Name this change.", engine=engine, stdin="+ 你好\n".encode())
    assert engine.prompts == ["Name this change.\n\n+ 你好"]


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_standard_input_alone_is_the_question(arguments: tuple[str, ...]) -> None:
    engine = ScriptedEngine(["Yes."])
    assert invoke("chat", *arguments, engine=engine, stdin=b"Is it?\n").stdout == "Yes.\n"
    assert engine.prompts == ["Is it?"]


def test_the_system_message_comes_first() -> None:
    engine = ScriptedEngine(["Oui."])
    invoke("chat", "--system", "Answer in French.", "Is it?", engine=engine)
    assert engine.prompts == ["Answer in French.\nIs it?"]


def test_json_is_one_object_also_on_a_terminal() -> None:
    result = invoke("chat", "--json", "hi", engine=ScriptedEngine(["Hello."]), terminal=True)
    record = json.loads(result.stdout)
    assert record["task"] == "chat"
    assert record["text"] == "Hello."
    assert record["finish_reason"] == "stop"


def test_nothing_to_answer_is_refused() -> None:
    result = invoke("chat", engine=ScriptedEngine())
    assert result.code == 5
    assert "standard input is empty" in result.stderr


def test_a_question_longer_than_the_context_is_refused() -> None:
    result = invoke("chat", "w " * 20, engine=ScriptedEngine(context_length=10))
    assert result.code == 5
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("kind", "instruct", "command"),
    [("causal", False, "generate"), ("seq2seq", True, "translate"), ("classifier", True, "sentiment")],
)
def test_a_checkpoint_that_cannot_chat_is_refused_with_the_command_for_it(
    kind: str, instruct: bool, command: str
) -> None:
    engine = ScriptedEngine(checkpoint=checkpoint(kind, "other", instruct))
    result = invoke("chat", "hi", engine=engine)
    assert result.code == 3
    assert f"hint: lmcli {command} -m " in result.stderr
    assert engine.prompts == []


def test_the_answer_alone_is_on_stdout() -> None:
    result = invoke("chat", "-v", "hi", engine=ScriptedEngine(["Hello there."]))
    assert result.stdout == "Hello there.\n"
    assert "completion tokens" in result.stderr
