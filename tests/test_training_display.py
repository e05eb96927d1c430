"""How a training run looks: a live line below the validations on a terminal, few lines in a file, none quietly."""

from __future__ import annotations

import io
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import Terminal

from lmcli.environment import Environment
from lmcli.render import Output, Renderer, pick
from lmcli.render.figures import figure
from lmcli.render.run_line import UNICODE as BAR
from lmcli.render.run_line import RunLog, RunPace, fit
from lmcli.types import Event, Notice, Progress, TrainingStep, Validation

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def step(number: int, steps: int = 100, loss: float = 0.5, best: float | None = None) -> TrainingStep:
    return TrainingStep(number, steps, 3 * number / steps, loss, 5e-5, 12345.6, "accuracy", best)


def validation(number: int, accuracy: float = 0.876, improved: bool = False) -> Validation:
    return Validation(number, number / 100, {"accuracy": accuracy, "macro_f1": 0.87, "loss": 0.31}, improved)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def renderer(
    output: Output | None = None, stdout: io.StringIO | None = None, stderr: io.StringIO | None = None,
    **variables: str,
) -> tuple[Renderer, io.StringIO, io.StringIO]:  # fmt: skip
    out, err = stdout or io.StringIO(), stderr or io.StringIO()
    environment = Environment(io.BytesIO(), out, err, variables, lambda: None)  # type: ignore[arg-type,return-value]
    return pick(environment, output or Output()), out, err


def test_a_file_has_a_line_for_each_validation_and_for_each_twentieth_of_the_steps() -> None:
    shown, out, err = renderer()
    for number in range(1, 1001):
        shown.report(step(number, 1000))
        if number % 500 == 0:
            shown.report(validation(number, improved=number == 500))
    lines = err.getvalue().splitlines()
    assert out.getvalue() == ""
    assert "step 500 · epoch 5.0 · accuracy 87.6% · macro_f1 0.870 · loss 0.310 · best" in lines
    assert "step 1,000 · epoch 10.0 · accuracy 87.6% · macro_f1 0.870 · loss 0.310" in lines
    assert len([line for line in lines if "/1,000" in line]) == 21  # with the first
    assert lines[0] == "0% · step 1/1,000 · epoch 0.0 · loss 0.500 · 12,346 tokens/s"
    assert not ESCAPES.search(err.getvalue())


def test_a_slow_run_has_a_line_a_minute() -> None:
    clock = Clock()
    log = RunLog(clock)
    told = []
    for number in range(1, 41):
        clock.now += 20
        told.append(log.line(step(number, 100_000)) is not None)
    assert told == [number % 3 == 1 for number in range(1, 41)]


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_is_told_when_all_is_to_be_quiet(terminal: bool) -> None:
    shown, out, err = renderer(Output(quiet=True), *([Terminal(), Terminal()] if terminal else []))
    for event in (step(1), Progress(1, 2, "validation examples"), validation(1), step(100)):
        shown.report(event)
    shown.close(None)
    assert (out.getvalue(), err.getvalue()) == ("", "")


def test_json_leaves_stdout_to_the_end() -> None:
    shown, out, err = renderer(Output("json"))
    shown.report(step(1))
    shown.report(validation(1))
    assert out.getvalue() == ""
    assert len(err.getvalue().splitlines()) == 2
    shown.fields({"name": "x"})
    shown.close(None)
    assert out.getvalue() == '{"name": "x"}\n'


def test_the_time_left_is_that_at_the_pace_since_the_run_went_on() -> None:
    clock = Clock()
    pace = RunPace(clock)
    assert "left" not in pace.parts(step(500, 1000))  # resumed
    clock.now += 60
    assert pace.parts(step(600, 1000))["left"] == "0:04:00 left"
    assert "left" not in pace.parts(step(1000, 1000))


def test_the_loss_shown_is_the_trend_and_a_loss_that_diverged_is_no_part_of_it() -> None:
    pace = RunPace()
    shown = [float(pace.parts(step(n, 1000, loss=1.0 + (-1) ** n))["loss"].split()[1]) for n in range(1, 500)]
    assert all(0.9 < loss < 1.1 for loss in shown[100:])
    assert pace.parts(step(500, 1000, loss=math.nan))["loss"] == f"loss {shown[-1]:.3f}"
    assert RunPace().parts(step(1, loss=math.nan))["loss"] == "loss nan"


def test_the_line_fits_the_terminal_and_tells_the_more_the_wider_it_is() -> None:
    clock = Clock()
    pace = RunPace(clock)
    pace.parts(step(1, 1300))
    clock.now += 60
    parts = pace.parts(step(400, 1300, best=0.876))
    told = {columns: fit(parts, columns, BAR, 400 / 1300) for columns in range(1, 160)}
    assert all(len(bar) + bool(bar) + len(text) <= max(columns - 3, 0) for columns, (bar, text) in told.items())
    assert all("31%" in text for columns, (_, text) in told.items() if columns >= 6)
    assert told[80][1] == "31% · 400/1,300 · epoch 0.9 · loss 0.500 · best 87.6% · 0:02:15 left"
    wide = "31% · step 400/1,300 · epoch 0.9 · loss 0.500 · best accuracy 87.6% · 12,346 tokens/s · 0:02:15 left"
    assert told[127] == ("━━━━━━━╸───────────────", wide)


def test_each_metric_is_written_as_usual() -> None:
    assert [figure(*pair) for pair in [("accuracy", 0.8764), ("macro_f1", 0.8764), ("bleu", 25.32)]] == [
        "87.6%", "0.876", "25.3"
    ]  # fmt: skip
    assert figure("loss", math.nan) == "nan"


def test_a_dumb_terminal_has_lines_and_no_escape_codes() -> None:
    shown, _, err = renderer(stdout=Terminal(), stderr=Terminal(), TERM="dumb")
    shown.report(step(1))
    shown.report(validation(1))
    assert "\x1b" not in err.getvalue()
    assert "\r" not in err.getvalue()
    assert len(err.getvalue().splitlines()) == 2


pexpect = pytest.importorskip("pexpect")
pyte = pytest.importorskip("pyte")
terminals = [
    pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX"),
    pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning"),
]
ROWS, COLUMNS, TIMEOUT_SECONDS = 12, 100, 30


class Run:
    """A run on a pseudo-terminal, and the terminal's screen."""

    def __init__(self, *flags: str, **variables: str) -> None:
        here = Path(__file__).parent
        known = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{here.parent}{os.pathsep}{here}", "TERM": "xterm"}
        self.child = pexpect.spawn(
            sys.executable, [str(here / "training_program.py"), *flags], echo=False, dimensions=(ROWS, COLUMNS),
            env=known | variables,
        )  # fmt: skip
        self.child.delaybeforesend = None
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = ""

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def tell(self, *events: Event, until: str) -> None:
        """Report the events, and wait until the screen shows `until`."""
        for event in events:
            self.child.sendline(repr(event))
        self.wait(until)

    def wait(self, until: str) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while until not in "\n".join(self.lines):
            assert time.monotonic() < deadline, f"waited for {until}; the screen shows {self.lines}"
            try:
                data: bytes = self.child.read_nonblocking(65536, timeout=0.05)
            except pexpect.TIMEOUT:
                continue
            self.raw += data.decode()
            self.stream.feed(data)

    def resize(self, columns: int) -> None:
        self.child.setwinsize(ROWS, columns)
        self.screen.resize(ROWS, columns)

    def end(self) -> None:
        self.child.sendline("end")
        self.wait("ended")


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(*flags: str, **variables: Any) -> Run:
        runs.append(Run(*flags, **variables))
        return runs[-1]

    yield begin
    for run in runs:
        run.child.ptyproc.delayafterclose = 0
        run.child.close(force=True)


class TestOnATerminal:
    pytestmark = terminals

    def test_one_live_line_lies_below_the_validations_and_is_gone_at_the_end(self, start: Callable[..., Run]) -> None:
        run = start()
        run.tell(step(1), step(2), until="step 2/100")
        assert len(run.lines) == 1
        assert run.lines[0].startswith("─" * 10) or run.lines[0].startswith("╸")
        run.tell(validation(2, improved=True), Notice("a word"), step(30, best=0.876), until="step 30/100")
        assert run.lines[:2] == ["step 2 · epoch 0.0 · accuracy 87.6% · macro_f1 0.870 · loss 0.310 · best", "a word"]
        assert len(run.lines) == 3
        assert "30% · step 30/100 · epoch 0.9 · loss 0.500 · best accuracy 87.6%" in run.lines[2]
        assert "\x1b[1;32mbest\x1b[0m" in run.raw
        run.end()
        assert run.lines[2:] == ["ended"]
        assert "\x1b[?25l" not in run.raw  # A kill would leave the terminal without its cursor.

    def test_a_validation_under_way_is_told_in_the_live_line(self, start: Callable[..., Run]) -> None:
        run = start()
        run.tell(step(50), Progress(30, 120, "validation examples"), until="validating 25%")
        assert len(run.lines) == 1
        run.tell(validation(50), until="accuracy 87.6%")
        run.tell(step(51), until="step 51/100")
        assert "validating" not in run.lines[1]

    def test_the_live_line_moves_between_the_steps_that_tell_of_figures(self, start: Callable[..., Run]) -> None:
        run = start()
        run.tell(Progress(3, 100, "training steps"), until="3% · step 3/100")
        run.tell(step(50), Progress(57, 100, "training steps"), until="57% · step 57/100 · epoch 1.5 · loss 0.500")
        assert len(run.lines) == 1

    def test_without_colour_there_are_no_colours(self, start: Callable[..., Run]) -> None:
        run = start(NO_COLOR="1", LC_ALL="C")
        run.tell(step(50), validation(50, improved=True), step(51), until="step 51/100")
        run.end()
        assert set(ESCAPES.findall(run.raw)) <= {"\x1b[K"}
        assert "====>----" in run.raw

    def test_a_terminal_that_became_narrower_keeps_nothing_of_the_wide_line(self, start: Callable[..., Run]) -> None:
        run = start()
        run.tell(step(50), until="step 50/100")
        length, before = len(run.lines[0]), len(run.raw)
        run.resize(40)
        run.tell(step(51), until="51%")
        assert all(len(line) < 40 for line in run.lines)
        # A terminal that folds what does not fit has made so many lines of it.
        assert run.raw[before:].count("\x1b[A") == (length - 1) // 40

    def test_an_interrupt_takes_the_line_away(self, start: Callable[..., Run]) -> None:
        run = start()
        run.tell(step(50), until="step 50/100")
        run.child.sendintr()
        run.wait("ended")
        assert run.lines == ["ended"]
