"""lmcli generate: a prompt continued or answered, from an argument, a pipe or both."""

import io
import json

import pytest
from scripted import ScriptedEngine, checkpoint, invoke

from lmcli.errors import InputTooLong
from lmcli.tasks.generate import Generate
from lmcli.types import Chunk, Conversation, Done, Reasoning, SamplingParams, TaskResult, Usage


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


class Cut(ScriptedEngine):
    """Ends every answer at its limit, as an engine does, and never comes to an end by itself."""

    thinks = False

    def stream(self, prompt, params):
        tokens = self.count(prompt)
        room = self.context_length - tokens
        count = min(params.max_tokens or room, room)
        for _ in range(count):
            yield Reasoning("hm ") if self.thinks else Chunk("on ")
        yield Done("length", Usage(tokens, 0, count))


class Thinking(Cut):
    thinks = True


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_an_answer_that_the_context_ends_says_so(command):
    result = invoke(command, "one two three", "--max-tokens", "50", engine=Cut(context_length=10))
    assert result.stderr == "the answer ended after 7 tokens; the context of 10 tokens is full\n"
    assert result.stdout.count("on") == 7


def test_an_answer_that_ends_at_the_512_tokens_nobody_asked_for_says_so():
    assert "512 tokens; --max-tokens allows more" in invoke("generate", "Hi", engine=Cut()).stderr


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_an_answer_that_ends_where_the_user_asked_is_no_news(command):
    assert invoke(command, "Hi", "--max-tokens", "5", engine=Cut()).stderr == ""


@pytest.mark.parametrize("arguments", [["generate", "--chat"], ["chat"]])
def test_an_answer_that_was_nothing_but_thought_says_so(arguments):
    result = invoke(*arguments, "Hi", "--max-tokens", "5", engine=Thinking())
    assert result.stdout.strip() == ""
    assert result.stderr == "the answer ended while the model was still thinking; --max-tokens allows more\n"


def test_an_answer_that_ended_by_itself_is_no_news():
    assert invoke("generate", "Hi", engine=ScriptedEngine()).stderr == ""


def test_a_prompt_that_fills_the_context_is_refused_before_the_model_runs():
    engine = ScriptedEngine(context_length=5)
    with pytest.raises(InputTooLong, match="5 tokens"):
        list(Generate(SamplingParams()).run(engine, "one two three four five"))
    result = invoke("generate", "one two three four five", engine=engine)
    assert result.code == 5
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


def test_a_notice_after_the_answer_has_a_line_of_its_own(monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr("scripted.Terminal", lambda: screen)
    invoke("generate", "one two three", engine=Cut(context_length=5), terminal=True)
    assert "on on \n" in screen.getvalue()
    assert screen.getvalue().index("on on \n") < screen.getvalue().index("the answer ended")
