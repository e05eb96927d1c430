"""Rendering: the only place, with the chat, that writes to the streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lmcli.environment import Environment
from lmcli.errors import LmcliError
from lmcli.types import Event, TaskResult

if TYPE_CHECKING:
    from lmcli.render.chart import Chart
    from lmcli.render.sheet import Sheet


Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Output:
    """How the user wants to read: `json` is None, "json" (one object) or "jsonl" (one a record)."""

    json: str | None = None
    quiet: bool = False
    verbose: bool = False
    timings: bool = False
    color: bool = True
    detailed: bool = False  # show every probability of a label, and its words in a table
    quote: bool = False  # show what an answer rests on off a terminal too


class Renderer(Protocol):
    """Writes the answer to stdout and everything else to stderr."""

    def heading(self, name: str) -> None:
        """Say on stdout which of several texts the next record is about, where the form needs saying it."""

    def show(
        self, events: Iterable[Event], *, task: str, checkpoint: str, file: str | None = None, input: str | None = None
    ) -> TaskResult:
        """Write one record's events as they come and return their fold.

        `file` is the file it is about, `input` the text itself where one of several was given in a line.
        """

    def fail(
        self, error: LmcliError, *, task: str, checkpoint: str, file: str | None = None, input: str | None = None
    ) -> None:
        """Write in the place of one record's answer that it has none."""

    def sheet(self, form: str, columns: Sequence[str]) -> Sheet:
        """Where on stdout records with fields of their own go, in `form` (jsonl, csv, tsv) unless JSON is asked for."""

    def tally(self, counts: Mapping[str, int], texts: int) -> None:
        """Tell the user, on stderr, how many of so many texts had each label."""

    def warn(self, text: str) -> None:
        """Say on stderr what went wrong, also where all else is to be quiet."""

    def report(self, event: Event) -> None:
        """Tell the user, on stderr, of a Progress or a Notice, or where a training run is.

        A Progress counted in `live_run.STEPS` or `live_run.VALIDATION` is part of the run.
        """

    def status(self, text: str) -> AbstractContextManager[None]:
        """Say on a terminal what is being waited for, and take it away again."""

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
        """Write rows to stdout; `columns` maps a row's key to its heading."""

    def fields(self, values: Mapping[str, Any]) -> None:
        """Write one thing's facts to stdout, a line each."""

    def record(
        self,
        values: Mapping[str, Any],
        rows: Sequence[Mapping[str, Any]],
        columns: Mapping[str, str],
        charts: Sequence[Chart] = (),
    ) -> None:
        """Write one record, which people read as `charts` on a terminal where it has any, else as a table of `rows`."""

    def tables(self, values: Mapping[str, Any], tables: Sequence[tuple[Rows, Mapping[str, str]]]) -> None:
        """Write one record, which people read as several tables, each of rows and columns as `table` has them."""

    def plot(self, charts: Sequence[Chart]) -> None:
        """Draw charts on stderr where that is a terminal."""

    def close(self, error: BaseException | None) -> None:
        """Clear the terminal of what moves and write what had to wait for the end.

        Where the command failed, `error` says why and takes the finished records along.
        """


def pick(environment: Environment, output: Output) -> Renderer:
    """The renderer for these streams: JSON where asked for, rich on a terminal, else plain text."""
    if output.json:
        from lmcli.render.json import JsonRenderer

        return JsonRenderer(environment, output)
    if environment.stdout.isatty() or environment.stderr.isatty():
        from lmcli.render.terminal import TerminalRenderer

        return TerminalRenderer(environment, output)
    from lmcli.render.plain import PlainRenderer

    return PlainRenderer(environment, output)
