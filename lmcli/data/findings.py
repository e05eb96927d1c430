"""Findings: what is wrong with examples, and the examples that are left without what is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from lmcli.data.examples import Example, Place

Severity = Literal["error", "warning"]
_SHOWN = 5  # places in a message


@dataclass(frozen=True)
class Finding:
    """What is wrong, and where: an error stops a run, of a warning the user is told.

    `message` is whole and names the first places itself; `dropped` says whether the rows were left out.
    """

    kind: str
    severity: Severity
    message: str
    places: tuple[Place, ...] = ()
    hint: str | None = None
    dropped: bool = False


@dataclass(frozen=True)
class Checked:
    """The examples that may be used, and what was found on the way to them. Findings of the kinds in `keep` are told,
    and their examples stay."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    findings: tuple[Finding, ...] = ()
    keep: frozenset[str] = frozenset()

    def told(self, *findings: Finding) -> Checked:
        return replace(self, findings=self.findings + findings)

    def without(
        self, kind: str, reason: str, bad: Callable[[Example], bool], hint: str | None = None, validation: bool = True
    ) -> Checked:
        """Without the `bad` examples, of which a warning tells. With `validation` False only those to train on."""
        train, worse = _parted(self.train, bad)
        kept, gone = _parted(self.validation, bad) if validation else (list(self.validation), [])
        if not worse and not gone:
            return self
        places = [example.place for example in [*worse, *gone]]
        if kind in self.keep:
            return self.told(
                Finding(kind, "warning", f"{rows(len(places))} kept, {reason}: {listed(places)}", tuple(places))
            )
        found = left_out(kind, reason, places, hint)
        return replace(self, train=tuple(train), validation=tuple(kept)).told(found)


def left_out(kind: str, reason: str, places: Sequence[Place], hint: str | None = None) -> Finding:
    """The warning of rows that are not used."""
    message = f"{rows(len(places))} left out, {reason}: {listed(places)}"
    return Finding(kind, "warning", message, tuple(places), hint, dropped=True)


def rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def listed(places: Sequence[Place]) -> str:
    """The first few of `places`, and how many more there are: `a.csv lines 3, 8; b.csv line 1; and 4 more`."""
    shown, more = places[:_SHOWN], len(places) - _SHOWN
    files = []
    for file, group in groupby(shown, key=lambda place: place.file):
        lines = [str(place.line) for place in group]
        files.append(f"{file} line{'s' if len(lines) > 1 else ''} {', '.join(lines)}")
    return "; ".join(files) + (f"; and {more:,} more" if more > 0 else "")


def _parted(examples: Sequence[Example], bad: Callable[[Example], bool]) -> tuple[list[Example], list[Example]]:
    good: list[Example] = []
    others: list[Example] = []
    for example in examples:
        (others if bad(example) else good).append(example)
    return good, others
