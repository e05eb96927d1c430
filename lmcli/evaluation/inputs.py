"""Inputs: the examples of the files, the folder or the named set that a checkpoint is to be measured by, and which task
they are for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NoReturn, get_args

from lmcli.data import sets
from lmcli.data.choices import choices_in
from lmcli.data.columns import Chooser
from lmcli.data.examples import USUAL, Columns, Example
from lmcli.data.files import is_named_as_data, read_file
from lmcli.data.reading import read, refuse_broken
from lmcli.data.set_folders import sets_in
from lmcli.data.set_table import EvaluationSet
from lmcli.errors import InputError, UsageError
from lmcli.evaluation.evaluators.labels import sentiment_names
from lmcli.evaluation.evaluators.score import number
from lmcli.settings import Settings
from lmcli.task_names import EvaluationTask, ExampleTask

# What files are tried as, those first that fewest others could be taken for.
_ORDER: tuple[ExampleTask, ...] = ("choose", "ask", "summarize", "translate", "classify")
# AG News and others have a title beside their label: it is no summary. A text's target may be a label.
_SUMMARIES = {"summary", "summaries", "highlights", "abstract"}
_TRANSLATED = {"source", "src", "translation", "target_text"}


@dataclass(frozen=True)
class Wish:
    """What the user says of the data; None is found out."""

    task: EvaluationTask | None = None
    columns: Columns = USUAL
    source: str | None = None
    target: str | None = None
    folder: Path | None = None  # that a named set lies in

    @property
    def languages(self) -> tuple[str, str] | None:
        return (self.source, self.target) if self.source and self.target else None


@dataclass(frozen=True)
class Inputs:
    """Examples of one task; `columns` are those that were taken, by file, and `source` says where they are from."""

    task: EvaluationTask
    examples: tuple[Example, ...]
    source: str
    columns: Mapping[str, Columns]


def read_inputs(names: Sequence[str], wish: Wish, settings: Settings, report: sets.Report) -> Inputs:
    """The examples of files, or of one set by its name or its folder.

    Raises UsageError for a name that is neither and for a set of another task than was asked for, InputError for files
    that hold no examples, and what reading them raises.
    """
    wanted = [(name, _set_of(name)) for name in names if not Path(name).expanduser().is_file()]
    if not wanted:
        inputs = _of_files(names, wish)
    elif len(names) > 1:
        raise UsageError(f"'{wanted[0][0]}' stands beside other names", "measure by files, or by one set at a time")
    else:
        inputs = _of_set(*wanted[0], wish, settings, report)
    if not inputs.examples:
        raise InputError(f"{inputs.source} holds no examples", "name a file with some")
    _check_answers(inputs)
    return inputs


def sample(examples: Sequence[Example], limit: int | None, seed: int) -> Sequence[Example]:
    """At most `limit` of the examples, drawn from a seed, in their order: many files are sorted by label."""
    if limit is None or limit >= len(examples):
        return examples
    return [examples[i] for i in sorted(Random(seed).sample(range(len(examples)), limit))]


def _set_of(name: str) -> EvaluationSet | Path:
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    found = sets.find(name)
    if found is None and (path.name != name or is_named_as_data(name)):
        raise InputError(f"{name} does not exist", "name a file with examples, or a set: lmcli evaluate --sets")
    if found is None:
        near = difflib.get_close_matches(name.casefold(), sets.names(), n=1)
        hint = f"did you mean {near[0]}?" if near else "lmcli evaluate --sets lists the sets"
        raise UsageError(f"'{name}' is neither a file nor a set", hint)
    return found


def _of_set(
    name: str, wanted: EvaluationSet | Path, wish: Wish, settings: Settings, report: sets.Report
) -> Inputs:  # fmt: skip
    folder = wish.folder
    if isinstance(wanted, Path):
        folder = wanted
        wanted = _only_set(folder)
    loaded = sets.load(wanted, settings, report, folder)
    task = _as_told(wanted.task, loaded.examples)
    if wish.task not in (None, task, wanted.task):
        raise UsageError(f"{wanted.name} measures '{task}', not '{wish.task}'", "leave --task out")
    return Inputs(wish.task or task, loaded.examples, f"{wanted.name} ({loaded.source})", {})


def _only_set(folder: Path) -> EvaluationSet:
    found = sets_in(folder)
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"{folder} holds no set that is known", "name its files, or see lmcli evaluate --sets")
    names = ", ".join(one.name for one in found)
    raise UsageError(f"{folder} holds several sets: {names}", f"name one: lmcli evaluate --folder {folder} NAME")


def _of_files(names: Sequence[str], wish: Wish) -> Inputs:
    source = ", ".join(names)
    if wish.task:
        examples, columns = _read(names, "classify" if wish.task == "sentiment" else wish.task, wish)
        return Inputs(wish.task, examples, source, columns)
    task = _task_of(names[0], wish)
    examples, columns = _read(names, task, wish)
    return Inputs(_as_told(task, examples), examples, source, columns)


def _task_of(name: str, wish: Wish) -> ExampleTask:
    """What a file is for, by its columns. Raises UsageError where they do not tell."""
    found = read_file(name, whole=True)
    if isinstance(found, str) or len(found.columns) == 1:
        return "generate"
    chooser = Chooser(name, found.columns, wish.columns)
    return next((task for task in _ORDER if _fits(task, chooser, wish)), None) or _unclear(name)


def _fits(task: ExampleTask, chooser: Chooser, wish: Wish) -> bool:
    """Whether the columns are those of a task."""
    try:
        if task == "choose":
            choices_in(chooser.names, wish.columns.second, chooser.file)
            return True
        columns, spoken = chooser.choose(task, wish.languages)
    except UsageError:
        return False
    if task == "translate":
        return spoken is not None or bool({columns.text, columns.answer} & _TRANSLATED)
    return task != "summarize" or columns.answer in _SUMMARIES


def _unclear(name: str) -> NoReturn:
    raise UsageError(
        f"the columns of {name} do not tell what it measures", f"say so: --task {'|'.join(get_args(EvaluationTask))}"
    )


def _read(
    names: Sequence[str], task: ExampleTask, wish: Wish
) -> tuple[tuple[Example, ...], Mapping[str, Columns]]:  # fmt: skip
    reading = read(names, task, wish.columns, wish.languages)
    if task == "translate" and wish.target and not wish.languages:
        spoken = {example.languages for example in reading.examples}
        if len(spoken) == 1 and (pair := spoken.pop()) and pair[0] == wish.target:
            reading = read(names, task, wish.columns, (pair[1], pair[0]))
    refuse_broken(reading.broken)
    return tuple(reading.examples), reading.columns


def _as_told(task: ExampleTask, examples: Sequence[Example]) -> EvaluationTask:
    """Labels that are called like sentiments are sentiments, and of pairs fractions are scores; other numbers could be
    anything."""
    if task != "classify":
        return task  # type: ignore[return-value]
    labels = {example.answer for example in examples}
    numbers = any(label.lstrip("-").isdecimal() for label in labels)
    pairs = any(example.second is not None for example in examples)
    if pairs and any("." in label for label in labels) and all(number(label) is not None for label in labels):
        return "score"
    return "sentiment" if not numbers and not pairs and sentiment_names(sorted(labels)) else "classify"


def _check_answers(inputs: Inputs) -> None:
    """Raises InputError for an example that there is nothing to measure by."""
    wanted = {
        "classify": "label",
        "sentiment": "label",
        "score": "number",
        "translate": "translation",
        "summarize": "summary",
    }
    part = wanted.get(inputs.task)
    for example in inputs.examples if part else ():
        if not example.answer:
            raise InputError(f"{example.place} has no {part}", "fill it in or remove the row")
