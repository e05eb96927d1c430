"""Plain rendering: the answer as it comes, notices a line each; no colour, no animation, no escape codes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lmcli.environment import Environment
from lmcli.errors import LmcliError
from lmcli.explanations import Choice, Explanation, Weight
from lmcli.render import Output, Rows
from lmcli.render.chart import Chart
from lmcli.render.choices import COLUMNS, foreseen, token_row
from lmcli.render.pace import Pace
from lmcli.render.run_line import RunLog, validation_parts
from lmcli.render.sheet import Sheet, sheet
from lmcli.types import (
    Chunk,
    Done,
    Event,
    Label,
    Notice,
    Progress,
    Reasoning,
    Sources,
    Span,
    TaskResult,
    Timing,
    TrainingStep,
    Usage,
    Validation,
)

_LOG_SECONDS = 10
_WORDS = 10  # of an explanation


class PlainRenderer:
    """Both streams are files or pipes."""

    def __init__(self, environment: Environment, output: Output) -> None:
        self.stdout, self.stderr = environment.stdout, environment.stderr
        self.output = output
        self._headings = 0
        self._pace, self._logged = Pace(), time.monotonic()
        self._run = RunLog()

    def heading(self, name: str) -> None:
        before = "\n" if self._headings else ""
        self.write(f"{before}==> {name} <==\n")  # as head(1) does
        self._headings += 1

    def show(
        self, events: Iterable[Event], *, task: str, checkpoint: str, file: str | None = None, input: str | None = None
    ) -> TaskResult:
        last = "\n"
        shown: list[Event] = []
        held: list[Event] = []  # notices that would stand behind the answer on its line
        try:
            for event in events:
                shown.append(event)
                match event:
                    case Chunk():
                        self.write(event.text)
                        last = event.text or last
                    case Notice() if not last.endswith("\n"):
                        held.append(event)
                    case Choice():
                        last = self.choice(event) or last
                    case Label():
                        self.label(event, file if input is None else shortened(input))
                    case Sources():
                        self.write("" if last.endswith("\n") else "\n")
                        last = "\n"
                        self.sources(event)
                    case Done():
                        pass
                    case _:
                        self.report(event)
        finally:
            # An interrupted answer, too, ends its line.
            if not last.endswith("\n"):
                self.write("\n")
            for event in held:
                self.report(event)
        result = TaskResult.fold(shown)
        if result.choices:
            self.choices(result.choices)
        if self.output.verbose:
            self.aside(statistics(result) + "\n")
        for timing in timings(result.usage):
            self.report(timing)
        return result

    def fail(
        self, error: LmcliError, *, task: str, checkpoint: str, file: str | None = None, input: str | None = None
    ) -> None:
        belongs_to = file if input is None else shortened(input)
        self.write("\t".join(["", "", *([belongs_to] if belongs_to else [])]) + "\n")

    def tally(self, counts: Mapping[str, int], texts: int) -> None:
        told = ", ".join(f"{label} {count:,} ({count / texts:.0%})" for label, count in counts.items())
        self.report(Notice(f"{texts:,} texts: {told}", verbose=True))

    def sheet(self, form: str, columns: Sequence[str]) -> Sheet:
        return sheet(form, columns, self.write)

    def warn(self, text: str) -> None:
        self.aside(text + "\n")

    def report(self, event: Event) -> None:
        match event:
            case Notice(text, verbose) if self.output.verbose or not (verbose or self.output.quiet):
                self.aside(text + "\n")
            case Reasoning(text) if self.output.verbose:
                self.aside(text)
            case Timing(part, seconds) if self.output.timings:
                self.aside(f"{seconds:8.3f} s  {part}\n")
            case Progress(total=0) if self.output.verbose:
                self._log(event)  # A log file is no place for a moving bar.
            case TrainingStep() if not self.output.quiet and (line := self._run.line(event)):
                self.aside(line + "\n")
            case Validation() if not self.output.quiet:
                self.aside(" · ".join(validation_parts(event)) + "\n")

    @contextmanager
    def status(self, text: str) -> Iterator[None]:
        yield

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
        for row in rows:
            self.write("\t".join(cell(row[key]) for key in columns) + "\n")

    def fields(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self.write(f"{name}\t{cell(value)}\n")

    def record(
        self, values: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str],
        charts: Sequence[Chart] = (),
    ) -> None:  # fmt: skip
        self.table(rows, columns)

    def tables(self, values: Mapping[str, Any], tables: Sequence[tuple[Rows, Mapping[str, str]]]) -> None:
        for number, (rows, columns) in enumerate(tables):
            self.write("\n" if number else "")
            self.table(rows, columns)

    def plot(self, charts: Sequence[Chart]) -> None:
        pass

    def close(self, error: BaseException | None) -> None:
        pass

    def label(self, label: Label, belongs_to: str | None) -> None:
        """One record a line, columns by tab: label, score and, of several, what it belongs to."""
        names = ",".join(label.names) or "-"
        scores = ",".join(f"{label.scores[name]:.4f}" for name in label.names) or f"{label.score:.4f}"
        weighed = [weighed_words(label.explanation)] if label.explanation else []
        self.write("\t".join([names, scores, *([belongs_to] if belongs_to else []), *weighed]) + "\n")
        if label.explanation and label.explanation.faithfulness:
            self.report(Notice(faithful(label.explanation)))

    def choice(self, choice: Choice) -> str:
        """One token a line, columns by tab; what was written last."""
        self.table([token_row(choice)], COLUMNS)
        return "\n"

    def choices(self, choices: Sequence[Choice]) -> None:
        """What there is to say of all tokens of a text, once they are written."""
        self.report(Notice(foreseen(choices), verbose=True))

    def _log(self, progress: Progress) -> None:
        """A line every ten seconds."""
        line = self._pace.line(progress)
        if time.monotonic() - self._logged >= _LOG_SECONDS:
            self._logged = time.monotonic()
            self.aside(line + "\n")

    def sources(self, sources: Sources) -> None:
        """The other answers, a line each, and what the answer rests on."""
        for answer in (sources.answers or ())[1:]:
            self.write(cell(answer.text) + "\n")
        if self.output.quote and sources.quote:
            self.write(quotation(sources.quote) + "\n")

    def write(self, text: str) -> None:
        """Part of the answer, to stdout."""
        self.stdout.write(text)
        self.stdout.flush()

    def aside(self, text: str) -> None:
        """Anything else, to stderr."""
        self.stderr.write(text)
        self.stderr.flush()


def cell(value: Any) -> str:
    """A value as people read it: nothing for None, yes and no, lists with commas, one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return " ".join(text.split("\n"))


def quotation(quote: Span) -> str:
    """A line that names the place as compilers do, file:line, and what stands there."""
    return f"{quote.file or 'standard input'}:{quote.line}: {cell(quote.text)}"


def shortened(text: str) -> str:
    """The text on one line of at most 60 characters, without tabs, so that it is one column."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"


def weighed_words(explanation: Explanation) -> str:
    """The words that weigh the most, for the label or against it, the heaviest first, on one line."""
    return ", ".join(f"{shortened(word.text)} {word.weight:+.3f}" for word in heaviest(explanation))


def heaviest(explanation: Explanation) -> list[Weight]:
    """The words that weigh the most, the heaviest first."""
    return sorted(explanation.words, key=lambda word: -abs(word.weight))[:_WORDS]


def faithful(explanation: Explanation) -> str:
    """What became of the label without the words that were found."""
    found = explanation.faithfulness
    assert found is not None
    words = "the heaviest word" if found.removed == 1 else f"the {found.removed} heaviest words"
    others = "a random one" if found.removed == 1 else "as many random ones"
    return (
        f"{explanation.label} is {found.whole:.0%}, without {words} {found.without_heaviest:.0%}, "
        f"without {others} {found.without_random:.0%}"
    )


def timings(usage: Usage) -> tuple[Timing, ...]:
    """An answer's two parts."""
    new, written = usage.prompt_tokens - usage.cached_tokens, usage.completion_tokens
    return (
        Timing(f"read the prompt, {new} tokens, and write the first", usage.ttft_seconds),
        Timing(f"write the other {max(written - 1, 0)} tokens", usage.decode_seconds),
    )


def statistics(result: TaskResult) -> str:
    """The line under an answer: tokens, tokens per second, seconds to the first token."""
    usage = result.usage
    prompt = f"{usage.prompt_tokens} prompt tokens"
    if usage.cached_tokens:
        prompt += f" ({usage.cached_tokens} cached)"
    parts = [prompt]
    if usage.completion_tokens:
        parts.append(f"{usage.completion_tokens} completion tokens")
    if usage.ttft_seconds:
        parts.append(f"first token {usage.ttft_seconds:.2f} s")
    if usage.decode_tokens_per_second:
        parts.append(f"{usage.decode_tokens_per_second:.1f} tokens/s")
    if usage.guessed_tokens:
        parts.append(f"{usage.accepted_tokens} of {usage.guessed_tokens} guesses right")
    return " · ".join([*parts, result.finish_reason])
