"""The log of a training run: what was told is read back, also after a kill and after the run went on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lmcli.training.log import FILE, TrainingEvent, TrainingLog, steps, validations
from lmcli.types import TrainingStep, Validation


def step(number: int, loss: float = 0.5) -> TrainingStep:
    return TrainingStep(number, 100, number / 50, loss, 5e-5, 1234.5, "accuracy", 0.75)


def validation(number: int, accuracy: float = 0.8) -> Validation:
    return Validation(number, number / 50, {"accuracy": accuracy, "loss": 0.4}, improved=True)


def told(folder: Path, *events: TrainingEvent) -> TrainingLog:
    log = TrainingLog(folder)
    for event in events:
        log.append(event)
    return log


def test_what_is_told_is_read_back(tmp_path: Path) -> None:
    events = [validation(0), step(10), step(20), validation(20), step(30)]
    told(tmp_path, *events)
    assert TrainingLog(tmp_path).events() == events


def test_a_folder_without_a_log_has_no_events(tmp_path: Path) -> None:
    assert TrainingLog(tmp_path).events() == []


def test_a_line_that_a_kill_cut_is_left_out_and_the_next_one_is_whole(tmp_path: Path) -> None:
    log = told(tmp_path, step(10), step(20))
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:-20])
    assert log.events() == [step(10)]
    log.append(step(20))
    log.append(step(30))
    assert log.events() == [step(10), step(20), step(30)]


def test_steps_that_a_resumed_run_does_again_count_once(tmp_path: Path) -> None:
    log = told(tmp_path, step(10), validation(10), step(20), validation(20, 0.1), step(30))
    told(tmp_path, step(20, loss=0.3), validation(20, 0.9))
    assert log.events() == [step(10), validation(10), step(20, loss=0.3), validation(20, 0.9)]


def test_a_resumed_run_forgets_what_came_after_its_step(tmp_path: Path) -> None:
    log = told(tmp_path, step(10), step(15), validation(15), step(18))
    log.rewind(15)
    log.append(step(20))
    assert log.events() == [step(10), step(15), validation(15), step(20)]
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_a_run_from_the_start_forgets_the_one_before(tmp_path: Path) -> None:
    log = told(tmp_path, validation(0, 0.1), step(10), validation(10))
    log.append(validation(0, 0.2))
    assert log.events() == [validation(0, 0.2)]


def test_a_loss_that_diverged_is_valid_json_and_read_back(tmp_path: Path) -> None:
    log = told(tmp_path, step(10, loss=math.nan), step(20, loss=math.inf))
    text = (tmp_path / FILE).read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert all(math.isnan(event.loss) for event in steps(log.events()))


@pytest.mark.parametrize(
    "line",
    [
        "", "[]", "7", '{"event": "party"}', '{"event": "step", "step": 1}', '{"event": ["step"]}', "\x00\xff",
        '{"event": "validation", "step": 1, "epoch": 1, "metrics": [1]}',
        '{"event": "validation", "step": 1e999, "epoch": 1, "metrics": {}}',
        "[" * 100_000,
    ],
    ids=range(10),
)  # fmt: skip
def test_lines_that_are_no_events_are_left_out(tmp_path: Path, line: str) -> None:
    log = told(tmp_path, step(10))
    with (tmp_path / FILE).open("a", encoding="latin-1") as stream:
        stream.write(line + "\n")
    log.append(validation(10))
    assert log.events() == [step(10), validation(10)]


def test_fields_of_a_newer_log_are_passed_over(tmp_path: Path) -> None:
    log = told(tmp_path, step(10))
    file = tmp_path / FILE
    file.write_text(file.read_text().replace('{"event"', '{"grad_norm": 1.5, "event"'))
    assert log.events() == [step(10)]
    assert validations(log.events()) == []
