"""`lmcli chat` on a pseudo-terminal, as a person uses it: what is typed, and what the screen shows."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import folder_checkpoint, sandbox

pexpect = pytest.importorskip("pexpect")
pyte = pytest.importorskip("pyte")

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX"),
    pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning"),
]
ROWS, COLUMNS, TIMEOUT_SECONDS = 50, 80, 45
ENTER, UP, TAB, BACKSPACE, LEFT, ALT_ENTER = "\r", "\x1b[A", "\t", "\x7f", "\x1b[D", "\x1b\r"
BRACKETED_PASTE = 2004 << 5  # as pyte numbers private modes
CTRL_C, CTRL_D = "\x03", "\x04"


class Chat:
    """A running chat and the screen of its terminal."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], variables: dict[str, str]) -> None:
        self.folder = folder
        self.raw = b""
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        here = Path(__file__).parent
        self.child = pexpect.spawn(
            sys.executable,
            [str(here / "chat_program.py"), str(folder), "chat", *arguments],
            dimensions=(ROWS, COLUMNS),
            env={
                **os.environ,
                "PYTHONPATH": f"{here.parent}{os.pathsep}{here}",
                "TERM": "xterm",
                **variables,
            },
        )
        self.child.delaybeforesend = None
        # prompt_toolkit asks the terminal where its cursor is.
        self.screen.write_process_input = self.child.send

    @property
    def display(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    @property
    def prompts(self) -> list[list[list[str]]]:
        """What the engine was sent so far, as messages of role and content."""
        log = self.folder / "prompts.jsonl"
        return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []

    def type(self, text: str) -> None:
        self.child.send(text)

    def say(self, text: str) -> None:
        self.type(text + ENTER)

    def sees(self, *texts: str) -> None:
        """Wait until the screen shows every one of `texts`."""
        self.until(lambda: all(text in self.display for text in texts), f"{texts} on the screen")

    def asks(self) -> None:
        """Wait for an empty prompt."""
        self.until(lambda: self.lines[-1:] == [">>>"], "an empty prompt")

    @property
    def lines(self) -> list[str]:
        return self.display.splitlines()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited for {what}; the screen shows:\n{self.display}"
            self._read()

    def release(self) -> None:
        """Let the engine go on from where it holds."""
        (self.folder / "release").touch()

    def ends(self) -> int:
        """Wait for the program's end; its exit code."""
        while self._read():
            pass
        self.child.wait()
        code: int = self.child.exitstatus
        return code

    def stop(self) -> None:
        if self.child.isalive():
            self.child.kill(signal.SIGKILL)
            self.child.wait()
        self.child.ptyproc.delayafterclose = 0
        self.child.close()

    def _read(self) -> bool:
        try:
            data: bytes = self.child.read_nonblocking(65536, timeout=0.05)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += data
        self.stream.feed(data)
        return True


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Chat]]:
    """Starts chats: `start("an answer", ..., arguments=(), **script)`."""
    chats: list[Chat] = []

    def begin(
        *answers: str, arguments: tuple[str, ...] = (), variables: dict[str, str] | None = None, **script: Any
    ) -> Chat:
        script |= {"answers": answers or ("Fine.",)}
        (tmp_path / "script.json").write_text(json.dumps(script), encoding="utf-8")
        model = folder_checkpoint(tmp_path / "scripted")
        known = sandbox(tmp_path) | {"LMCLI_MODEL": str(model)} | (variables or {})
        chats.append(Chat(tmp_path, arguments, known))
        return chats[-1]

    yield begin
    for chat in chats:
        chat.stop()


def test_the_prompt_is_there_while_the_checkpoint_loads(start: Callable[..., Chat]) -> None:
    chat = start("Hello Ada.", hold_load=True)
    chat.sees(">>>", "loading scripted…")
    chat.type("Hi, I am Ada")
    chat.sees(">>> Hi, I am Ada")
    chat.release()
    chat.until(lambda: "loading" not in chat.display, "the hint to go")
    chat.type(ENTER)
    chat.sees("Hello Ada.")
    assert chat.prompts == [[["user", "Hi, I am Ada"]]]


def test_a_question_waits_for_the_checkpoint_and_ctrl_c_takes_it_back(start: Callable[..., Chat]) -> None:
    chat = start("Hello Ada.", hold_load=True)
    chat.sees("loading scripted…")
    chat.say("first")
    chat.until(lambda: chat.lines[-2:] == [">>> first", "loading scripted…"], "the wait")
    chat.type(CTRL_C)
    chat.sees("(interrupted)")
    chat.until(lambda: chat.lines[-1] == "loading scripted…" and ">>>" in chat.lines[:-1], "the prompt again")
    chat.say("second")
    chat.release()
    chat.sees("Hello Ada.")
    chat.asks()
    assert chat.prompts == [[["user", "second"]]]


def test_an_answer_streams_and_ctrl_c_keeps_what_came(start: Callable[..., Chat]) -> None:
    chat = start("One two HOLD three", "Four.")
    chat.asks()
    chat.say("Count")
    chat.sees("One two")
    chat.type(CTRL_C)
    chat.sees("(interrupted)")
    chat.asks()
    chat.say("Go on")
    chat.sees("Four.")
    assert "^C" not in chat.display
    assert "three" not in chat.display
    assert chat.prompts[1] == [["user", "Count"], ["assistant", "One two"], ["user", "Go on"]]


def test_ctrl_c_before_the_first_word_goes_back_to_the_prompt(start: Callable[..., Chat]) -> None:
    chat = start("HOLD never", "Yes.", "No.")
    chat.asks()
    chat.say("Are you there?")
    chat.until(lambda: len(chat.prompts) == 1, "the prefill")
    chat.type(CTRL_C)
    chat.sees("(interrupted)")
    chat.asks()
    chat.say("/retry")
    chat.sees("Yes.")
    chat.asks()
    assert chat.prompts[1] == [["user", "Are you there?"]]
    chat.type(CTRL_D)
    assert chat.ends() == 0


def test_ctrl_c_at_the_prompt_clears_the_line_and_twice_leaves(start: Callable[..., Chat]) -> None:
    chat = start()
    chat.asks()
    chat.type("half a thought")
    chat.sees(">>> half a thought")
    chat.type(CTRL_C)
    chat.asks()
    chat.type(CTRL_C)
    chat.sees("(Ctrl-C once more leaves")
    chat.asks()
    chat.type("x" + BACKSPACE)
    chat.type(CTRL_C)
    chat.until(lambda: chat.display.count("once more") == 2, "the hint again, since a key came between")
    chat.asks()
    chat.type(CTRL_C)
    assert chat.ends() == 130
    assert chat.prompts == []


def test_history_is_kept_across_runs_for_its_owner_alone(start: Callable[..., Chat], tmp_path: Path) -> None:
    first = start()
    first.asks()
    first.say("remember 这个")
    first.sees("Fine.")
    first.asks()
    first.type(CTRL_D)
    assert first.ends() == 0
    assert (tmp_path / "state" / "history").stat().st_mode & 0o777 == 0o600
    second = start()
    second.asks()
    second.type(UP)
    second.sees(">>> remember 这个")


def test_two_chats_at_once_keep_both_histories(start: Callable[..., Chat], tmp_path: Path) -> None:
    one, two = start(), start()
    one.asks()
    two.asks()
    for turn in range(3):
        one.say(f"one {turn}")
        two.say(f"two {turn}")
    for chat in (one, two):
        chat.until(lambda chat=chat: chat.display.count("Fine.") == 3, "three answers")
    lines = (tmp_path / "state" / "history").read_text(encoding="utf-8").splitlines()
    assert sorted(line for line in lines if line.startswith("+")) == sorted(
        f"+{name} {turn}" for name in ("one", "two") for turn in range(3)
    )


def test_a_state_folder_that_cannot_be_written_does_not_end_the_chat(
    start: Callable[..., Chat], tmp_path: Path
) -> None:
    (tmp_path / "occupied").write_text("a file where the folder would be")
    chat = start(variables={"LMCLI_STATE": str(tmp_path / "occupied")})
    chat.asks()
    chat.say("Hi")
    chat.sees("Fine.")
    chat.asks()
    chat.type(UP)
    chat.sees(">>> Hi\nFine.", "\n>>> Hi")
    assert "Traceback" not in chat.display


def test_lines_that_are_pasted_blocked_or_begun_with_alt_enter_are_one_message(
    start: Callable[..., Chat],
) -> None:
    chat = start()
    chat.asks()
    chat.type("\x1b[200~first\nsecond\r\nthird\x1b[201~")
    chat.sees(">>> first", "... second", "... third")
    assert chat.prompts == []
    chat.say(" and more")
    chat.sees("Fine.")
    chat.asks()
    chat.say('"""a block')
    chat.sees("... ")
    chat.say("")
    chat.say("of lines")
    chat.say('"""')
    chat.until(lambda: chat.display.count("Fine.") == 2, "the second answer")
    chat.asks()
    chat.type("over" + ALT_ENTER + "two lines")
    chat.sees(">>> over\n... two lines")
    chat.type(ENTER)
    chat.until(lambda: chat.display.count("Fine.") == 3, "the third answer")
    sent = [prompt[-1][1] for prompt in chat.prompts]
    assert sent == ["first\nsecond\nthird and more", "a block\n\nof lines", "over\ntwo lines"]


def test_chinese_is_edited_by_whole_characters(start: Callable[..., Chat]) -> None:
    chat = start("你好，世界。")
    chat.asks()
    chat.type("你好吗")
    chat.sees(">>> 你好吗")
    assert chat.screen.cursor.x == len(">>> ") + 6
    chat.type(BACKSPACE)
    chat.until(lambda: chat.lines[-1] == ">>> 你好", "one character fewer")
    assert chat.screen.cursor.x == len(">>> ") + 4
    chat.type(LEFT + "们")
    chat.until(lambda: chat.lines[-1] == ">>> 你们好", "a character in between")
    chat.type(ENTER)
    chat.sees("你好，世界。")
    assert chat.prompts == [[["user", "你们好"]]]


def test_slash_commands_change_the_session(start: Callable[..., Chat]) -> None:
    chat = start("First.", "Second.", "Third.")
    chat.asks()
    chat.say("/help")
    chat.sees("/retry", "Alt-Enter")
    chat.say("/system Be brief.")
    chat.sees("(system message set)")
    chat.say("/set temperatur 1")
    chat.sees("did you mean 'temperature'?")
    chat.say("/set temperature 0.5")
    chat.sees("(temperature is 0.5)")
    chat.say("/clera")
    chat.sees("did you mean '/clear'?")
    chat.say("Question")
    chat.sees("First.")
    chat.say("/stats")
    chat.sees("3 prompt tokens")
    chat.say("/show")
    chat.sees("Be brief.", "4 of 2048 tokens", "temperature 0.5")
    chat.say("/retry")
    chat.sees("Second.")
    chat.asks()
    chat.say("/undo")
    chat.until(lambda: chat.lines[-1] == ">>> Question", "the question, to be edited")
    chat.say(" again")
    chat.sees("Third.")
    system, question = ["system", "Be brief."], ["user", "Question"]
    assert chat.prompts == [[system, question], [system, question], [system, ["user", "Question again"]]]


def test_tab_completes_commands_and_parameters(start: Callable[..., Chat]) -> None:
    chat = start()
    chat.asks()
    chat.type("/cl" + TAB)
    chat.sees(">>> /clear")
    chat.type(CTRL_C)
    chat.asks()
    chat.type("/set rep" + TAB)
    chat.sees(">>> /set repetition_penalty")
    chat.type(" 1.1" + ENTER)
    chat.sees("(repetition_penalty is 1.1)")


def test_a_full_context_leaves_out_the_oldest_turns_and_says_so(start: Callable[..., Chat]) -> None:
    chat = start("word " * 10, context_length=32, arguments=("--system", "Stay."))
    chat.asks()
    for number in (1, 2, 3):
        chat.say(f"question {number}")
        chat.until(lambda number=number: len(chat.prompts) == number, "the prompt")
        chat.asks()
    chat.sees("(the context of 32 tokens is full: 1 oldest turn left out)")
    assert [message[1].strip() for message in chat.prompts[2] if message[0] != "assistant"] == [
        "Stay.", "question 2", "question 3"
    ]  # fmt: skip
    chat.say("long " * 60)
    chat.sees("the text has 61 tokens", "hint: shorten it")
    chat.until(lambda: chat.display.rstrip().endswith("long long"), "the message, to be edited")
    chat.type(CTRL_C)
    chat.asks()
    chat.say("short")
    chat.until(lambda: len(chat.prompts) == 4, "the chat to go on")


def test_an_error_in_an_answer_is_a_line_and_the_chat_goes_on(start: Callable[..., Chat]) -> None:
    chat = start("Half FAIL", "Whole.")
    chat.asks()
    chat.say("Try")
    chat.sees("Half\nthe KV cache does not fit into memory\n  hint: /clear makes room")
    chat.asks()
    chat.say("Again")
    chat.sees("Whole.")


def test_a_load_that_fails_ends_the_chat_with_its_exit_code(start: Callable[..., Chat]) -> None:
    chat = start(load_error="this machine has no cuda", hold_load=True)
    chat.sees("loading scripted…")
    chat.type("typing on")
    chat.sees("typing on")
    chat.release()
    assert chat.ends() == 2
    assert chat.display.endswith("lmcli: this machine has no cuda\n  hint: --device cpu")


def test_control_characters_of_the_model_never_reach_the_terminal(start: Callable[..., Chat]) -> None:
    chat = start("Red \x1b[31m split \x1b HOLD ]0;title\x07 \x9b2J \x08 end\ttab")
    chat.asks()
    chat.say("Attack")
    chat.sees("Red")
    chat.release()
    chat.sees("end")
    chat.asks()
    answer = chat.raw[chat.raw.index(b"Red") : chat.raw.index(b"tab")].decode()
    assert answer == "Red [31m split  ]0;title 2J  end\t"


def test_reasoning_stands_dim_before_the_answer(start: Callable[..., Chat]) -> None:
    chat = start("THINK hm THINK well Yes.")
    chat.asks()
    chat.say("Sure?")
    chat.sees("hm well\n\n Yes.")
    assert b"\x1b[2m hm\x1b[22m" in chat.raw
    assert chat.prompts == [[["user", "Sure?"]]]


def test_no_color_leaves_out_what_is_dim(start: Callable[..., Chat]) -> None:
    chat = start("THINK hm Yes.", variables={"NO_COLOR": "1"})
    chat.asks()
    chat.say("Sure?")
    chat.sees("hm\n\n Yes.")
    assert b"\x1b[2m" not in chat.raw


def test_a_prompt_on_the_command_line_is_the_first_question(start: Callable[..., Chat]) -> None:
    chat = start("Paris.", "Rome.", arguments=("Capital of France?",))
    chat.sees(">>> Capital of France?\nParis.")
    chat.asks()
    chat.say("And of Italy?")
    chat.sees("Rome.")
    assert len(chat.prompts[1]) == 3


def test_what_is_typed_during_an_answer_waits_for_the_next_prompt(start: Callable[..., Chat]) -> None:
    chat = start("One HOLD two.")
    chat.asks()
    chat.say("Count")
    chat.sees("One")
    chat.type("next")
    chat.release()
    chat.sees("One two.")
    chat.until(lambda: chat.lines[-1] == ">>> next", "what was typed, at the prompt")
    chat.type(CTRL_C)
    chat.asks()
    chat.say("/exit")
    assert chat.ends() == 0


def test_lines_pasted_during_an_answer_are_one_message(start: Callable[..., Chat]) -> None:
    chat = start("One HOLD two.", "Three.")
    chat.asks()
    chat.say("Count")
    chat.sees("One")
    assert BRACKETED_PASTE in chat.screen.mode
    chat.type("\x1b[200~a\nb\x1b[201~")
    chat.release()
    chat.sees(">>> a\n... b")
    chat.type(ENTER)
    chat.sees("Three.")
    assert chat.prompts[1][-1] == ["user", "a\nb"]


def test_ctrl_c_is_heard_behind_a_paste_longer_than_the_terminal_holds(start: Callable[..., Chat]) -> None:
    chat = start("One HOLD two.", "Three.")
    chat.asks()
    chat.say("Count")
    chat.sees("One")
    for _ in range(40):
        chat.type("a line that is pasted by mistake\n" * 10)
    chat.type(CTRL_C)
    chat.sees("(interrupted)")
    chat.asks()
    chat.say("Go on")
    chat.sees("Three.")
    assert len(chat.prompts) == 2


def test_a_dumb_terminal_gets_plain_lines(start: Callable[..., Chat]) -> None:
    chat = start("HOLD never", "Good.", variables={"TERM": "dumb"})
    chat.asks()
    chat.say("Hello")
    chat.until(lambda: len(chat.prompts) == 1, "the prefill")
    chat.type(CTRL_C)
    chat.sees("(interrupted)")
    chat.asks()
    chat.say('"""two')
    chat.say('lines"""')
    chat.sees("Good.")
    chat.asks()
    chat.type(CTRL_C)
    chat.sees("once more leaves")
    chat.asks()
    chat.type(CTRL_C)
    assert chat.ends() == 130
    assert chat.prompts[1] == [["user", "two\nlines"]]
    assert b"\x1b" not in chat.raw
