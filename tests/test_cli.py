"""The root command and its error boundary: help, did-you-mean, one line an error, exit codes, quiet ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scripted import ScriptedEngine, checkpoint, invoke

from lmcli import __version__, errors


def lmcli(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lmcli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


def test_help_names_every_command_and_shows_examples_first() -> None:
    text = lmcli("--help").stdout
    commands = Path(__file__).parents[1] / "lmcli" / "commands"
    for file in commands.glob("[a-z]*.py"):
        assert f"\n  {file.stem} " in text
    assert "lmcli chat" in text


def test_version() -> None:
    assert lmcli("--version").stdout == f"lmcli {__version__}\n"


def test_an_unknown_command_is_met_with_the_one_that_was_meant() -> None:
    result = invoke("sumarize")
    assert result.code == 2
    assert "did you mean 'lmcli summarize'?" in result.stderr
    assert result.stdout == ""


def test_a_usage_error_is_one_line_and_the_way_out() -> None:
    result = invoke("generate", "--temperature", "hot", "Hello")
    assert result.code == 2
    assert result.stderr.startswith("lmcli: ")
    assert "--temperature" in result.stderr
    assert "lmcli generate --help" in result.stderr
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize("flag", ["--json", "--jsonl"])
def test_under_json_an_error_is_an_object(flag: str) -> None:
    result = invoke("summarize", flag, "no-such-file.txt", engine=ScriptedEngine())
    error = json.loads(result.stdout)["error"]
    assert set(error) == {"message", "hint", "exit_code"}
    assert error["exit_code"] == result.code == 5
    assert "no-such-file.txt" in error["message"]


def test_the_error_classes_have_the_documented_exit_codes() -> None:
    codes = {name: getattr(errors, name).exit_code for name in dir(errors) if name.endswith(("Error", "Memory"))}
    assert codes == {
        "LmcliError": 1, "UsageError": 2, "CheckpointError": 3, "NetworkError": 4, "InputError": 5, "OutOfMemory": 6,
    }  # fmt: skip


def test_a_bug_of_ours_keeps_its_traceback() -> None:
    def broken(prompt: str) -> str:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        invoke("generate", "Hello", engine=ScriptedEngine([broken]))


def test_ctrl_c_in_a_script_exits_130() -> None:
    def interrupted(prompt: str) -> str:
        raise KeyboardInterrupt

    assert invoke("generate", "Hello", engine=ScriptedEngine([interrupted])).code == 130


ENDLESS = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from scripted import ScriptedEngine
from lmcli.cli import main
from lmcli import engine
import itertools, time
from lmcli.types import Chunk
class Endless(ScriptedEngine):
    def stream(self, prompt, params):
        for i in itertools.count():
            time.sleep(0.002)
            yield Chunk("line %d\\n" % i)
engine.load = lambda *a, **o: Endless()
sys.argv = ["lmcli", "generate", "-m", {folder!r}, "Count."]
main()
"""


@pytest.fixture
def endless(tmp_path: Path) -> subprocess.Popen[bytes]:
    import scripted

    folder = scripted.folder_checkpoint(tmp_path / "scripted")
    program = ENDLESS.format(tests=str(Path(__file__).parent), folder=str(folder))
    variables = os.environ | {"LMCLI_CACHE": str(tmp_path), "HF_HUB_CACHE": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables
    )


def test_a_reader_that_has_enough_ends_the_answer_quietly(endless: subprocess.Popen[bytes]) -> None:
    assert endless.stdout is not None
    assert endless.stderr is not None
    assert endless.stdout.readline() == b"line 0\n"
    endless.stdout.close()  # As `| head -1` does.
    assert endless.wait(timeout=30) == 0
    assert endless.stderr.read() == b""
    endless.stderr.close()


def test_an_interrupted_process_exits_130_with_what_came_and_no_traceback(endless: subprocess.Popen[bytes]) -> None:
    assert endless.stdout is not None
    assert endless.stderr is not None
    assert endless.stdout.readline() == b"line 0\n"
    time.sleep(0.1)
    endless.send_signal(signal.SIGINT)
    rest, errors_shown = endless.communicate(timeout=30)
    assert endless.returncode == 130
    assert rest.startswith(b"line 1\n")
    assert b"Traceback" not in errors_shown


def test_control_characters_of_the_model_never_reach_a_terminal() -> None:
    attack = "red \x1b[31mtext\x07 \x9b2J and\x00 more\r\n"
    shown = invoke("generate", "Hello", engine=ScriptedEngine([attack]), terminal=True).stdout
    assert shown == "red [31mtext 2J and more\n"
    piped = invoke("generate", "Hello", engine=ScriptedEngine([attack])).stdout
    assert piped == attack  # What reads a pipe gets what the model wrote.


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_escape_code_is_written_where_colour_is_not_wanted(variable: dict[str, str]) -> None:
    result = invoke("sentiment", "-v", "Lovely", engine=ScriptedEngine(), terminal=True, variables=variable)
    assert "positive" in result.stdout
    assert "\x1b[3" not in result.stdout + result.stderr
    if "TERM" in variable:
        assert "\x1b" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--seed", "99999999999999999999999999"), ("--seed", "-1"), ("--temperature", "1e-300"),
        ("--temperature", "nan"), ("--temperature", "inf"), ("--top-p", "nan"), ("--min-p", "1.5"),
        ("--repetition-penalty", "1e-300"), ("--max-tokens", "0"),
    ],
)  # fmt: skip
def test_a_number_no_answer_can_be_drawn_with_is_refused(flag: str, value: str) -> None:
    result = invoke("generate", flag, value, "Hello", engine=ScriptedEngine())
    assert result.code == 2
    assert flag in result.stderr
    assert f"not '{value}'" in result.stderr


def test_an_empty_stop_text_does_not_end_every_answer() -> None:
    engine = ScriptedEngine()
    assert invoke("generate", "--stop", "", "--stop", "END", "Hello", engine=engine).code == 0
    assert engine.params[0].stop == ("END",)


def test_what_was_done_before_a_text_failed_is_in_the_one_object(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt")]
    for file in files:
        file.write_text(f"Text {file.name}.")

    def full(prompt: str) -> str:
        raise errors.InputTooLong("too long", "shorter")

    engine = ScriptedEngine(["One.", "Two.", full])
    result = invoke("translate", "--to", "de", "--from", "en", "--json", *map(str, files), engine=engine)
    shown = json.loads(result.stdout)
    assert [record["text"].strip() for record in shown["results"]] == ["One.", "Two."]
    assert shown["error"]["exit_code"] == result.code == 5


def test_under_json_the_terminal_on_stderr_stays_what_it_is() -> None:
    engine = ScriptedEngine(checkpoint=checkpoint("classifier", "evil\x9b2J"))
    result = invoke("sentiment", "--json", "Lovely", engine=engine, terminal=True)
    assert json.loads(result.stdout)["checkpoint"] == "evil\x9b2J"
    assert "\x9b" not in result.stdout
    assert "loading evil2J" in result.stderr


def test_a_label_does_not_drive_the_terminal() -> None:
    engine = ScriptedEngine(checkpoint=checkpoint("classifier"), probabilities=lambda text: {"bad\x1b[2J\x9b": 1.0})
    assert "bad[2J" in invoke("sentiment", "Lovely", engine=engine, terminal=True).stdout.replace("\x1b[1;36m", "")


def test_an_error_object_drives_no_terminal() -> None:
    result = invoke("summarize", "--json", "no\x9b2J.txt", engine=ScriptedEngine())
    assert "\x9b" not in result.stdout
    assert "no\x9b2J.txt" in json.loads(result.stdout)["error"]["message"]


def test_a_daemon_without_any_stream_runs() -> None:
    shell = ["sh", "-c", f"{sys.executable} -m lmcli --version <&- >&- 2>&-"]
    assert subprocess.run(shell, check=False, timeout=60).returncode == 0


def test_timings_are_told_on_stderr_part_by_part() -> None:
    result = invoke("generate", "--timings", "Once", engine=ScriptedEngine(["upon a time"]))
    assert result.stdout == "upon a time\n"
    assert re.search(r"^ +\d+\.\d{3} s  read the prompt, \d+ tokens, and write the first$", result.stderr, re.MULTILINE)
    assert " s  write the other " in result.stderr
    assert "read the prompt" not in invoke("generate", "Once", engine=ScriptedEngine(["upon a time"])).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
@pytest.mark.parametrize("arguments", [["list", "--all"], ["--help"], ["config", "--json"]], ids=str)
def test_a_full_disk_is_told_in_one_line(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "lmcli", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    assert result.returncode == 1
    assert "No space left" in result.stderr
    assert "Traceback" not in result.stderr
