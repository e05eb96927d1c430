"""The losses of a run: their trend, their plot on a terminal, their picture, and `lmcli show --losses`."""

from __future__ import annotations

import io
import json
import math
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from scripted import Result, Terminal, folder_checkpoint, invoke

from lmcli.environment import Environment
from lmcli.render import Output, pick
from lmcli.render.chart import Chart, Curve, tick_labels, ticks
from lmcli.render.losses import losses
from lmcli.render.screen import knows_unicode
from lmcli.render.svg import charts_picture
from lmcli.render.terminal_chart import ASCII, draw_chart
from lmcli.training.card import PICTURE
from lmcli.training.curves import draw_losses
from lmcli.training.log import TrainingEvent, TrainingLog
from lmcli.types import TrainingStep, Validation

SVG = "{http://www.w3.org/2000/svg}"


def events(steps: int = 200, metric: str = "accuracy", every: int = 1) -> list[TrainingEvent]:
    """A run whose loss falls, and whose validation is best after half of it."""
    found: list[TrainingEvent] = []
    for number in range(every, steps + 1, every):
        loss = 1 + math.exp(-5 * number / steps) + 0.2 * (-1) ** number
        found.append(TrainingStep(number, steps, number / steps, loss, 1e-4, 100, metric, None))
        if number % (steps // 4) == 0:
            accuracy = 0.9 - abs(number / steps - 0.5)
            figures = {"accuracy": accuracy, "macro_f1": accuracy - 0.1, "loss": 1.5 - accuracy}
            found.append(Validation(number, number / steps, figures, improved=number <= steps // 2))
    return found


def trained(folder: Path, told: list[TrainingEvent]) -> Path:
    folder_checkpoint(folder, "classifier")
    for event in told:
        TrainingLog(folder).append(event)
    return folder


def test_the_trend_does_not_leap_and_is_the_same_however_often_the_run_tells() -> None:
    often, seldom = (
        next(curve for curve in losses(told)[0].curves if curve.name == "training").points
        for told in (events(1000), events(1000, every=10))
    )
    assert max(abs(a[1] - b[1]) for a, b in pairwise(often[50:])) < 0.03
    assert seldom[-1][1] == pytest.approx(often[-1][1], abs=0.22)
    assert often[-1][1] == pytest.approx(1.0 + math.exp(-5), abs=0.03)


def test_a_run_has_a_chart_of_losses_and_one_of_what_it_was_chosen_by() -> None:
    first, second = losses(events())
    assert [curve.name for curve in first.curves] == ["each step", "training", "validation"]
    assert [curve.name for curve in second.curves] == ["macro_f1", "accuracy", "best"]
    assert second.curves[-1].points == ((100.0, 0.9),)
    assert first.x_range == second.x_range == (0.0, 200.0)


def test_a_run_chosen_by_its_loss_has_one_chart_with_the_best_in_it() -> None:
    (chart,) = losses(events(metric="loss"))
    assert chart.curves[-1].points == ((100.0, 0.6),)


def test_scores_of_a_hundred_and_shares_do_not_share_an_axis() -> None:
    told = [TrainingStep(1, 2, 0.5, 1, 1, 1, "bleu"), Validation(1, 0.5, {"bleu": 25.0, "chrf": 50.0, "rouge1": 0.3})]
    assert {curve.name for curve in losses(told)[1].curves if curve.points} == {"bleu", "chrf"}


def test_without_events_there_is_no_chart_and_what_diverged_has_no_place() -> None:
    assert losses([]) == ()
    assert losses([TrainingStep(1, 2, 1, math.nan, 1, 1)]) == ()
    assert losses([TrainingStep(1, 2, 1, math.nan, 1, 1), TrainingStep(2, 2, 1, 3.0, 1, 1)])[0].y_range == (2.7, 3.3)


@pytest.mark.parametrize(
    ("low", "high", "most", "wanted"),
    [(0, 1, 5, [0, 0.5, 1]), (0, 1, 6, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.13, 0.17, 4, [0.14, 0.16]),
     (0, 1300, 8, [0, 200, 400, 600, 800, 1000, 1200]), (-3, 3, 3, [-2, 0, 2]), (1e-5, 3e-5, 4, [1e-5, 2e-5, 3e-5])],
)  # fmt: skip
def test_ticks_are_round_numbers(low: float, high: float, most: int, wanted: list[float]) -> None:
    assert ticks(low, high, most) == pytest.approx(wanted)


def test_ticks_are_written_with_the_digits_they_need() -> None:
    assert tick_labels([0, 500, 1000]) == ["0", "500", "1,000"]
    assert tick_labels([0.14, 0.16, 0.2]) == ["0.14", "0.16", "0.20"]


def test_a_plot_shows_a_falling_loss_as_a_falling_curve() -> None:
    (chart,) = losses(events(metric="loss"))
    title, *lines = draw_chart(chart, 60, 10)
    assert title == "loss   ⠤⠒ training   ● validation   ◆ best"
    assert all(len(line) <= 60 for line in lines)
    frame = [line[6:] for line in lines[:10]]
    rows = [next(i for i, line in enumerate(frame) if line[column : column + 1].strip()) for column in (1, 8, 20)]
    assert rows == sorted(rows)
    assert rows[0] < rows[1] < rows[2]
    assert sum(line.count("●") for line in frame) == 3
    assert sum(line.count("◆") for line in frame) == 1
    assert lines[-1].split() == ["step", "0", "100", "200"]


def test_a_curve_that_leaps_has_no_gaps() -> None:
    chart = Chart("x", "", (Curve("x", ((0, 0), (1, 10), (2, 0))),))
    lines = draw_chart(chart, 40, 8)[1:9]
    assert all(line[5:].strip() for line in lines)


def test_a_plot_in_ascii_is_ascii() -> None:
    text = "\n".join(line for chart in losses(events()) for line in draw_chart(chart, 80, 8, ASCII))
    assert text.isascii()
    assert {"o", "*", ".", "|"} <= set(text)


def test_a_narrow_terminal_has_a_narrow_plot_or_none() -> None:
    for chart in losses(events()):
        for columns in range(1, 120):
            lines = draw_chart(chart, columns, 8)
            assert bool(lines) == (columns >= 25)
            assert all(len(line) <= columns for line in lines[1:])


def test_the_locale_and_the_console_say_whether_dots_can_be_drawn() -> None:
    assert knows_unicode({})
    assert knows_unicode({"LANG": "zh_CN.UTF-8"})
    assert knows_unicode({"LANG": "de_DE.utf8@euro"})
    assert not knows_unicode({"LC_ALL": "C", "LANG": "en_US.UTF-8"})
    assert not knows_unicode({"LANG": "zh_CN.GBK"})
    assert not knows_unicode({"TERM": "linux", "LANG": "en_US.UTF-8"})


def test_the_picture_is_whole_and_its_curves_fall_as_the_loss_does() -> None:
    drawn = ElementTree.fromstring(charts_picture("a & b", losses(events())))
    lines = [line.attrib["points"].split() for line in drawn.iter(f"{SVG}polyline")]
    assert [len(points) for points in lines] == [200, 200, 4, 4, 4]
    heights = [float(point.split(",")[1]) for point in lines[1]]
    assert heights[0] < heights[50] < heights[150]
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert {"training", "validation", "accuracy", "macro_f1", "best", "step", "200"} <= set(texts)


def test_a_long_run_has_a_small_picture() -> None:
    assert len(charts_picture("", losses(events(10_000)))) < 60_000


def test_names_in_a_log_of_whatever_origin_drive_neither_a_terminal_nor_a_browser() -> None:
    name = "\x1b[31m<script>\nx"
    told = [TrainingStep(1, 2, 1, 1.0, 1, 1, name), Validation(1, 1, {name: 0.5})]
    text = "".join(line for chart in losses(told) for line in draw_chart(chart, 80, 8))
    assert "\x1b" not in text
    drawn = ElementTree.fromstring(charts_picture("", losses(told)))
    assert "[31m<script> x" in [found.text for found in drawn.iter(f"{SVG}text")]


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (True, True), (False, False)])
def test_at_the_end_a_terminal_has_the_plot_and_the_folder_its_picture(
    tmp_path: Path, terminal: bool, quiet: bool
) -> None:
    stderr = Terminal() if terminal else io.StringIO()
    environment = Environment(io.BytesIO(), io.StringIO(), stderr, {}, lambda: None)  # type: ignore[arg-type,return-value]
    renderer = pick(environment, Output(quiet=quiet))
    draw_losses(trained(tmp_path, events()), "mine", renderer)
    assert ElementTree.parse(tmp_path / PICTURE).getroot().tag == f"{SVG}svg"
    assert bool(stderr.getvalue()) == (terminal and not quiet)
    assert ("◆" in stderr.getvalue()) == (terminal and not quiet)


class TestShow:
    def show(self, folder: Path, *flags: str, terminal: bool = False) -> Result:
        return invoke("show", "--losses", str(folder), *flags, terminal=terminal, variables={"COLUMNS": "70"})

    def test_a_terminal_has_the_plot(self, tmp_path: Path) -> None:
        shown = self.show(trained(tmp_path / "mine", events()), "--no-color", terminal=True)
        assert shown.code == 0
        assert "accuracy   ⠤⠒ macro_f1   ● accuracy   ◆ best\n" in shown.stdout
        assert max(map(len, shown.stdout.splitlines())) <= 69
        assert "\x1b[36m" in self.show(tmp_path / "mine", terminal=True).stdout

    def test_a_pipe_has_a_number_a_line(self, tmp_path: Path) -> None:
        shown = self.show(trained(tmp_path / "mine", events(8)))
        lines = shown.stdout.splitlines()
        assert lines[:5] == [
            "1\t0.1250\ttraining loss\t1.33526", "2\t0.2500\ttraining loss\t1.4865", "2\t0.2500\taccuracy\t0.65",
            "2\t0.2500\tmacro_f1\t0.55", "2\t0.2500\tvalidation loss\t0.85",
        ]  # fmt: skip
        assert len(lines) == 8 + 4 * 3

    def test_json_has_all_that_was_told(self, tmp_path: Path) -> None:
        told = [*events(8), TrainingStep(9, 9, 1, math.nan, 1, 1)]
        shown = json.loads(self.show(trained(tmp_path / "mine", told), "--json").stdout)
        assert shown["name"] == "mine"
        assert [step["step"] for step in shown["steps"]] == list(range(1, 10))
        assert shown["steps"][-1]["loss"] is None
        assert shown["validations"][0]["metrics"]["accuracy"] == pytest.approx(0.65)

    def test_a_checkpoint_without_a_log_says_so(self, tmp_path: Path) -> None:
        shown = self.show(trained(tmp_path / "mine", []))
        assert shown.code == 3
        assert "mine has no log of its training" in shown.stderr
