"""lmcli generate: a prompt continued or answered, from an argument, a pipe or both."""

import json

import pytest
from scripted import ScriptedEngine, checkpoint, invoke

from lmcli.errors import InputTooLong
from lmcli.tasks.generate import Generate
from lmcli.types import Conversation, Done, Notice, SamplingParams, TaskResult


class Recording(ScriptedEngine):
    """Keeps each prompt as it was given, to tell a conversation from a string."""

    def stream(self, prompt, params):
        self.given = prompt
        return super().stream(prompt, params)


def test_a_prompt_is_continued_as_it_is():
    engine = Recording(["there was a fox"])
    result = invoke("generate", "Once upon a time", engine=engine)
    assert (result.code, result.stdout) == (0, "there was a fox\n")
    assert engine.given == "Once upon a time"


def test_chat_goes_through_the_template_with_its_system_message():
    engine = Recording()
    invoke("generate", "--chat", "Hi", engine=engine)
    assert engine.given == Conversation.ask("Hi")
    invoke("generate", "--system", "Be kind.", "Hi", engine=engine)
    assert engine.given == Conversation.ask("Hi", "Be kind.")


def test_a_base_checkpoint_continues_and_says_so():
    engine = Recording(checkpoint=checkpoint(instruct=False))
    result = invoke("generate", "--system", "Be kind.", "Hi", engine=engine)
    assert engine.given == "Be kind.\n\nHi"
    assert "no chat template" in result.stderr
    assert result.stdout == "ok\n"


@pytest.mark.parametrize(
    ("arguments", "stdin", "prompt"),
    [
        (["Fix:"], b"def f(:\n", "Fix:\n\ndef f(:"),
        ([], b"Once upon\n", "Once upon"),
        (["-"], b"Once upon", "Once upon"),
        (["Fix:"], b"", "Fix:"),
        (["--", "--chat"], b"", "--chat"),
    ],
)
def test_the_prompt_is_the_argument_then_what_is_piped(arguments, stdin, prompt):
    engine = Recording()
    assert invoke("generate", *arguments, engine=engine, stdin=stdin).code == 0
    assert engine.given == prompt


def test_nothing_at_all_is_an_empty_input():
    result = invoke("generate", engine=ScriptedEngine())
    assert result.code == 5
    assert "empty" in result.stderr
    assert result.stdout == ""


def test_an_answer_has_512_tokens_unless_told_otherwise():
    engine = ScriptedEngine()
    invoke("generate", "Hi", engine=engine)
    invoke("generate", "Hi", "--max-tokens", "700", engine=engine)
    assert [params.max_tokens for params in engine.params] == [512, 700]


def test_an_answer_is_no_longer_than_the_context_leaves():
    engine = ScriptedEngine(context_length=10)
    events = list(Generate(SamplingParams(max_tokens=50)).run(engine, "one two three"))
    assert engine.params[0].max_tokens == 7
    assert any(isinstance(event, Notice) and "7 tokens" in event.text for event in events)
    assert isinstance(events[-1], Done)


def test_a_prompt_that_fills_the_context_is_refused_before_the_model_runs():
    engine = ScriptedEngine(context_length=5)
    with pytest.raises(InputTooLong, match="5 tokens"):
        list(Generate(SamplingParams()).run(engine, "one two three four five"))
    result = invoke("generate", "one two three four five", engine=engine)
    assert result.code == 5
    assert "hint:" in result.stderr
    assert engine.prompts == []


def test_a_classifier_cannot_generate():
    result = invoke("generate", "Hi", engine=ScriptedEngine(checkpoint=checkpoint("classifier")))
    assert result.code == 3
    assert "classifier" in result.stderr


def test_json_has_the_documented_fields():
    result = invoke("generate", "Hi there", "--json", engine=ScriptedEngine(["fine thanks"]))
    record = json.loads(result.stdout)
    assert (record["task"], record["text"], record["finish_reason"]) == ("generate", "fine thanks", "stop")
    assert record["usage"]["prompt_tokens"] == 2
    assert record["usage"]["completion_tokens"] == 2


def test_sampling_options_reach_the_engine():
    engine = ScriptedEngine()
    invoke("generate", "Hi", "--temperature", "0.5", "--seed", "3", "--stop", "x", "--stop", "y", engine=engine)
    assert engine.params[0] == SamplingParams(max_tokens=512, temperature=0.5, seed=3, stop=("x", "y"))


def test_the_stream_ends_with_one_done():
    result = TaskResult.fold(Generate(SamplingParams()).run(ScriptedEngine(["a b c"]), "x"))
    assert result.usage.completion_tokens == 3
