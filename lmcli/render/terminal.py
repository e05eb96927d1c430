"""Terminal rendering: what waits is said, progress is drawn, and no text drives the terminal.

stdout and stderr are asked separately: an answer piped into a file still has its progress bar on the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from lmcli.environment import Environment
from lmcli.explanations import Choice, Explanation
from lmcli.render import Output
from lmcli.render.chart import Chart
from lmcli.render.choices import COLUMNS, LEGEND, foreseen, listed, style, token_row
from lmcli.render.live_run import STEPS, VALIDATION, LiveRun
from lmcli.render.plain import PlainRenderer, cell, faithful, quotation, weighed_words
from lmcli.render.screen import columns as columns_of
from lmcli.render.screen import knows_unicode
from lmcli.text.printable import printable
from lmcli.types import Event, Label, Notice, Progress, Sources, TrainingStep, Validation

if TYPE_CHECKING:
    from lmcli.render.drawing import Bar

_ROWS, _FEWER_ROWS, _WIDEST = 12, 8, 100  # of the first chart, of each below it; columns


class TerminalRenderer(PlainRenderer):
    """At least one stream is a terminal. rich is imported with the first thing that needs it, a bar or a table."""

    def __init__(self, environment: Environment, output: Output) -> None:
        super().__init__(environment, output)
        variables = environment.variables
        dumb = variables.get("TERM") == "dumb"
        self._color = output.color and not variables.get("NO_COLOR") and not dumb
        self._out, self._err = self.stdout.isatty(), self.stderr.isatty()
        self._animate = self._err and not dumb and not output.quiet
        self._variables = variables
        self._bar: Bar | None = None
        self._surprise = 0.0  # of the tokens of a character that is not yet whole
        self._run_line = LiveRun(self.stderr, variables, self._color)
        self._written = False  # whether the answers themselves are to be seen on the terminal

    def report(self, event: Event) -> None:
        match event:
            case TrainingStep() | Validation() if self._animate:
                self._take_away_bar()
                self._run_line.show(event)
            case Progress(unit=unit) if self._animate and unit in (STEPS, VALIDATION):
                self._run_line.show(event)
            case Progress() if self._animate:
                self._advance(event)
            case _:
                super().report(event)

    @contextmanager
    def status(self, text: str) -> Iterator[None]:
        if not self._animate:
            yield
            return
        self._end_bar()
        self.stderr.write(f"\r{self._dim(printable(text))}")
        self.stderr.flush()
        try:
            yield
        finally:
            self.stderr.write("\r\x1b[K")
            self.stderr.flush()

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
        if not self._out:
            super().table(rows, columns)
            return
        from lmcli.render.drawing import draw_table

        if not rows:
            return  # What there is not needs no headings.
        cells = [[printable(cell(row[key])) for key in columns] for row in rows]
        draw_table(self.stdout, self._color, columns.values(), cells)

    def fields(self, values: Mapping[str, Any]) -> None:
        if not self._out:
            super().fields(values)
            return
        from lmcli.render.drawing import draw_fields

        draw_fields(self.stdout, self._color, [(name, printable(cell(value))) for name, value in values.items()])

    def record(
        self, values: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str],
        charts: Sequence[Chart] = (),
    ) -> None:  # fmt: skip
        if not (self._out and charts and self._draw(charts, self.stdout)):
            super().record(values, rows, columns)

    def plot(self, charts: Sequence[Chart]) -> None:
        if self._err and not self.output.quiet:
            self._draw(charts, self.stderr)

    def label(self, label: Label, belongs_to: str | None) -> None:
        if not self._out:
            super().label(label, belongs_to)
            return
        from lmcli.render.drawing import draw_explanation, draw_label, draw_scores

        self._end_bar()
        draw_label(self.stdout, self._color, label, belongs_to)
        if self.output.detailed:
            draw_scores(self.stdout, self._color, label.scores)
        if label.explanation and self._color:
            draw_explanation(self.stdout, label.explanation)
        elif label.explanation:
            self.write(f"  {weighed_words(label.explanation)}\n")
        if self.output.detailed and label.explanation:
            self._weights(label.explanation)

    def _weights(self, explanation: Explanation) -> None:
        """The heaviest words of an explanation, and whether they were found rightly."""
        from lmcli.render.drawing import draw_weights

        draw_weights(self.stdout, self._color, explanation)
        if explanation.faithfulness:
            self.write(f"  {faithful(explanation)}\n")

    def choice(self, choice: Choice) -> str:
        if not self._out:
            return super().choice(choice)
        self._end_bar()
        self._written = True
        # A character of several tokens is as surprising as they are together.
        self._surprise += choice.surprise
        if choice.shown:
            super().write(self._painted(printable(choice.shown), self._surprise))
            self._surprise = 0.0
        return choice.shown

    def choices(self, choices: Sequence[Choice]) -> None:
        """Of a long text the tokens that were least foreseen."""
        self._surprise = 0.0
        if not self._out:
            super().choices(choices)
            return
        told = listed(choices)
        self.write("\n")
        self.table([token_row(choice) for choice in told], COLUMNS)
        least = f"; listed are the {len(told)} least foreseen" if len(told) < len(choices) else ""
        self.report(Notice(f"{foreseen(choices)}{least}"))
        if self._color:
            self.report(Notice(LEGEND))

    def tally(self, counts: Mapping[str, int], texts: int) -> None:
        if not self._err or self.output.quiet:
            super().tally(counts, texts)
            return
        from lmcli.render.drawing import draw_tally

        self._end_bar()
        draw_tally(self.stderr, self._color, counts, texts)

    def sources(self, sources: Sources) -> None:
        if not self._out:
            super().sources(sources)
            return
        for answer in (sources.answers or ())[1:]:
            self.write(cell(answer.text) + "\n")
        if sources.quote and not self.output.quiet:
            self._end_bar()
            self.stdout.write(self._dim(printable(quotation(sources.quote))) + "\n")
            self.stdout.flush()

    def close(self, error: BaseException | None) -> None:
        self._end_bar()

    def write(self, text: str) -> None:
        if self._out:
            self._end_bar()
            self._written = True
        super().write(printable(text) if self._out else text)

    def aside(self, text: str) -> None:
        self._end_bar()
        super().aside(self._dim(printable(text)) if self._err else text)

    def _draw(self, charts: Sequence[Chart], stream: TextIO) -> bool:
        """Draw the charts below each other; False where the terminal has no room for them."""
        from lmcli.render.terminal_chart import ASCII, UNICODE, draw_chart

        width, symbols = columns_of(stream, self._variables), UNICODE if knows_unicode(self._variables) else ASCII
        lines = [
            line
            for i, chart in enumerate(charts)
            for line in draw_chart(chart, min(width - 1, _WIDEST), _FEWER_ROWS if i else _ROWS, symbols, self._color)
        ]
        self._end_bar()
        stream.write("".join(f"{line}\n" for line in lines))
        stream.flush()
        return bool(lines)

    def _painted(self, text: str, surprise: float) -> str:
        """`text` in the colour of so much surprise, less the spaces around it."""
        code, core = style(surprise), text.strip()
        if not (code and core and self._color):
            return text
        before, after = text.split(core, 1)
        return f"{before}\x1b[{code}m{core}\x1b[0m{after}"

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._color else text

    def _advance(self, event: Progress) -> None:
        from lmcli.render.drawing import Bar, RecordBar

        if not event.total and self._written:
            return
        if self._bar is None:
            counted = event.total > 0
            self._bar = Bar(self.stderr, self._color, event.unit) if counted else RecordBar(self.stderr, self._color)
        self._bar.update(event)
        if 0 < event.total <= event.done:
            self._end_bar()

    def _end_bar(self) -> None:
        self._run_line.clear()
        self._take_away_bar()

    def _take_away_bar(self) -> None:
        if self._bar:
            self._bar.end()
            self._bar = None
