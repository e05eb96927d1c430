"""The chat's session and its slash commands, without a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import ScriptedEngine, checkpoint

from lmcli.errors import CheckpointError
from lmcli.parameters import PARAMETERS
from lmcli.repl.session import Session, Step, make_room, take_turn
from lmcli.repl.slash import COMMANDS, follow, is_open
from lmcli.types import Chunk, Conversation, Done, Event, Notice, Prompt, Reasoning, SamplingParams, Usage


def session(*turns: tuple[str, str], system: str | None = None, **changes: object) -> Session:
    conversation = Conversation()
    for question, answer in turns:
        conversation = conversation.add("user", question).add("assistant", answer)
    chat = Session(checkpoint(), SamplingParams(temperature=0.7), conversation).with_system(system)
    return replace(chat, **changes)  # type: ignore[arg-type]


def contents(conversation: Conversation) -> list[str]:
    return [message.content for message in conversation.messages]


def set_to(text: str) -> Step:
    return follow(f"/set {text}", session())


@dataclass
class Interrupted(ScriptedEngine):
    """Is interrupted after the events it is given."""

    events: tuple[Event, ...] = ()

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Event]:
        yield from self.events
        raise KeyboardInterrupt


def test_an_answer_joins_the_conversation() -> None:
    drawn: list[Event] = []
    after = take_turn(session(("a", "b")), ScriptedEngine(["It is."]), "is it", drawn.append).session
    assert contents(after.conversation) == ["a", "b", "is it", "It is."]
    assert drawn[0] == Chunk("It")
    assert after.last is not None
    assert after.last.text == "It is."


def test_an_interrupted_answer_keeps_what_came() -> None:
    step = take_turn(session(), Interrupted(events=(Chunk("Once "), Chunk("upon"))), "tell", lambda event: None)
    assert contents(step.session.conversation) == ["tell", "Once upon"]
    assert step.interrupted


@pytest.mark.parametrize("events", [(), (Reasoning("hm"),)])
def test_a_question_nobody_answered_stays_out_of_the_conversation(events: tuple[Event, ...]) -> None:
    after = take_turn(session(("a", "b")), Interrupted(events=events), "well?", lambda event: None).session
    assert contents(after.conversation) == ["a", "b"]
    assert follow("/retry", after).question == "well?"
    assert follow("/undo", after).draft == "well?"


def test_an_answer_cut_by_max_tokens_says_so() -> None:
    class Cut(ScriptedEngine):
        def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Event]:
            yield Chunk("one two")
            yield Done("length", Usage(3, 0, 2))

    limited = session(params=SamplingParams(max_tokens=2))
    assert "stopped after 2 tokens" in take_turn(limited, Cut(), "q", lambda event: None).say
    assert "the context is full" in take_turn(session(), Cut(), "q", lambda event: None).say


def test_an_answer_cut_while_the_model_was_thinking_says_so() -> None:
    class Thinking(ScriptedEngine):
        def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Event]:
            yield Reasoning("hm hm")
            yield Done("length", Usage(3, 0, 2))

    limited = session(params=SamplingParams(max_tokens=2))
    assert "still thinking after 2 tokens" in take_turn(limited, Thinking(), "q", lambda event: None).say


def test_the_oldest_turns_are_left_out_but_never_the_system_message() -> None:
    turns = [(f"q{n} " + "w " * 8, f"a{n} " + "w " * 8) for n in range(6)]
    drawn: list[Event] = []
    engine = ScriptedEngine(["ok"], context_length=100)
    after = take_turn(session(*turns, system="stay"), engine, "now", drawn.append).session
    sent = engine.prompts[0].split("\n")
    assert (sent[0], sent[-1]) == ("stay", "now")
    assert sent[1].startswith("q4")
    assert drawn[0] == Notice("(the context of 100 tokens is full: 4 oldest turns left out)")
    assert len(after.turns) == 14, "what is not sent is still kept"
    again: list[Event] = []
    take_turn(after, engine, "and now", again.append)
    assert engine.prompts[1].startswith(engine.prompts[0]), "the next prompt goes on from the cached one"
    assert not any(isinstance(event, Notice) for event in again)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=12),
    question=st.integers(1, 120),
    max_tokens=st.none() | st.integers(1, 500),
)
def test_whatever_fits_is_sent_with_room_for_an_answer(
    sizes: list[tuple[int, int]], question: int, max_tokens: int | None
) -> None:
    engine = ScriptedEngine(context_length=100)
    chat = session(*(("q " * q, "a " * a) for q, a in sizes), params=SamplingParams(max_tokens=max_tokens))
    shorter = make_room(chat, engine, "w " * question)
    room = min(max_tokens or 25, 50)
    size = engine.count(shorter.sent("w " * question))
    assert shorter.conversation == chat.conversation
    assert size + room <= 100 or shorter.left_out == len(sizes) or question + room > 100
    if question < 100:
        assert size < 100
    if engine.count(chat.sent("w " * question)) + room <= 100:
        assert shorter.left_out == 0


def test_a_message_too_long_for_the_context_is_offered_again() -> None:
    chat = session(("a", "b"))
    long = "w " * 60
    step = take_turn(chat, ScriptedEngine(context_length=50), long, lambda event: None)
    assert step.draft == long
    assert step.say.startswith("the text has 60 tokens")
    assert step.session == chat


def test_a_slash_begins_a_command_and_two_a_question() -> None:
    assert follow("//etc/hosts is what?", session()).question == "/etc/hosts is what?"
    unknown = follow("/retyr", session())
    assert unknown.question is None
    assert "did you mean '/retry'?" in unknown.say
    assert "/help" in follow("/xyzzy", session()).say


def test_an_empty_line_asks_nothing() -> None:
    assert follow("  \n", session()) == Step(session())
    assert follow('"""\n"""', session()) == Step(session())


def test_a_block_in_triple_quotes_is_one_question() -> None:
    assert is_open('"""one')
    assert not is_open('"""one\ntwo"""')
    assert not is_open('say """')
    assert follow('"""/one\n  two\n"""', session()).question == "/one\n  two"


@pytest.mark.parametrize("end", ["", '    """Ends so."""', '"""'])
def test_a_pasted_module_that_begins_with_its_docstring_is_sent_whole(end: str) -> None:
    module = f'"""Module doc."""\nimport os\n{end}'
    assert follow(module, session()).question == module
    assert follow('"""one"""  \n', session()).question == "one"


@pytest.mark.parametrize("line", ["/exit", "/bye", "/quit", "/exit "])
def test_the_words_that_leave(line: str) -> None:
    assert follow(line, session()).leave


def test_help_names_every_command() -> None:
    said = follow("/?", session()).say
    assert said == follow("/help", session()).say
    assert all(f"/{name}" in said for name in COMMANDS)


def test_clear_keeps_the_system_message() -> None:
    cleared = follow("/clear", session(("a", "b"), system="stay", left_out=1)).session
    assert contents(cleared.conversation) == ["stay"]
    assert cleared.left_out == 0


def test_the_system_message_is_shown_set_and_removed() -> None:
    chat = session(("a", "b"))
    assert "no system message" in follow("/system", chat).say
    strict = follow("/system Be strict.\nAlways.", chat).session
    assert contents(strict.conversation) == ["Be strict.\nAlways.", "a", "b"]
    assert "Be strict." in follow("/system", strict).say
    assert follow("/system -", strict).session.conversation == chat.conversation


def test_every_sampling_parameter_can_be_set_and_nothing_else() -> None:
    others = {"think", "grammar"}  # a task's and a command's to say
    assert set(PARAMETERS) == {field.name for field in fields(SamplingParams)} - others
    assert "did you mean 'top_p'?" in set_to("topp 1").say


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("max_tokens 20", "max_tokens", 20),
        ("max_tokens none", "max_tokens", None),
        ("temperature 0", "temperature", 0.0),
        ("top-k=40", "top_k", 40),
        ("top_p 0.9", "top_p", 0.9),
        ("min_p .05", "min_p", 0.05),
        ("repetition_penalty 1.2", "repetition_penalty", 1.2),
        ("stop END 'the end'", "stop", ("END", "the end")),
        ("stop none", "stop", ()),
        ("seed 7", "seed", 7),
    ],
)
def test_a_parameter_takes_its_values(text: str, name: str, value: object) -> None:
    assert getattr(set_to(text).session.params, name) == value


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens 0", "max_tokens 1.5", "temperature -1", "temperature nan", "temperature inf", "top_k -1",
        "top_p 1.1", "min_p -0.1", "repetition_penalty 0", "stop 'open", "seed -1", "seed x",
        "seed 99999999999999999999999999", "temperature 1e-300", "temperature 1e300", "top_p nan",
        "repetition_penalty 1e-300",
    ],
)  # fmt: skip
def test_a_parameter_refuses_what_makes_no_sense(text: str) -> None:
    step = set_to(text)
    name, _, value = text.partition(" ")
    assert step.session == session()
    assert step.say == f"{name} takes {PARAMETERS[name].takes}, not '{value}'"


def test_set_alone_shows_the_values() -> None:
    assert "temperature 0.7" in follow("/set", session()).say
    assert follow("/set top_p", session()).say == "top_p 1.0 · takes a number from 0 to 1 (off)"


def test_show_tells_what_is_used_of_the_context() -> None:
    chat = session(("one two", "three"), system="stay")
    assert "still loading" in follow("/show", chat).say
    said = follow("/show", replace(chat, engine=ScriptedEngine(context_length=99))).say
    assert "4 of 99 tokens" in said
    assert "scripted" in said
    assert "stay" in said


def test_show_bears_a_template_that_refuses_the_conversation() -> None:
    class Strict(ScriptedEngine):
        def count(self, prompt: Prompt) -> int:
            raise CheckpointError("the template refuses this conversation")

    assert "0 of 2048 tokens" in follow("/show", session(system="stay", engine=Strict())).say
    assert "refuses" in follow("/show", session(("a", "b"), engine=Strict())).say


def test_retry_asks_the_last_question_again_with_a_fresh_seed() -> None:
    chat = session(("a", "b"), ("c", "d"), params=SamplingParams(temperature=1.0, seed=7))
    step = follow("/retry", chat)
    assert step.question == "c"
    assert contents(step.session.conversation) == ["a", "b"]
    engine = ScriptedEngine(["e"])
    after = take_turn(step.session, engine, "c", lambda event: None, retry=step.retry).session
    assert engine.params[0].seed is None
    assert after.params.seed == 7
    assert contents(after.conversation) == ["a", "b", "c", "e"]


def test_retrying_a_greedy_answer_says_that_it_stays_the_same() -> None:
    assert "stays the same" in follow("/retry", session(("a", "b"), params=SamplingParams())).say


def test_undo_takes_the_last_turn_back_and_offers_its_question() -> None:
    step = follow("/undo", session(("a", "b"), ("c", "d"), system="stay"))
    assert contents(step.session.conversation) == ["stay", "a", "b"]
    assert (step.draft, step.question) == ("c", None)


@pytest.mark.parametrize("line", ["/undo", "/retry", "/stats"])
def test_what_needs_an_answer_says_that_there_is_none(line: str) -> None:
    step = follow(line, session())
    assert step == Step(session(), say=step.say)
    assert "there is no" in step.say


def test_stats_tells_tokens_and_speed() -> None:
    class Measured(ScriptedEngine):
        def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Event]:
            yield Chunk("answer")
            yield Done("stop", Usage(40, 30, 21, 0.25, 2.0))

    said = follow("/stats", take_turn(session(), Measured(), "q", lambda event: None).session).say
    for part in ("40 prompt tokens", "30 cached", "21 completion tokens", "0.25 s", "10.0 tokens/s"):
        assert part in said
