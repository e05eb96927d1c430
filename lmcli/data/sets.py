"""Sets: the field's own evaluation sets by name, read from the hub where it is reached, or from a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from lmcli.checkpoints import door
from lmcli.data.examples import Example
from lmcli.data.files import read_file
from lmcli.data.reading import examples_of, refuse_broken
from lmcli.data.set_folders import read_folder
from lmcli.data.set_table import SETS, EvaluationSet
from lmcli.errors import CheckpointError, InputError, NetworkError, UsageError
from lmcli.settings import Settings
from lmcli.types import Event, Notice

Report = Callable[[Event], None]


@dataclass(frozen=True)
class LoadedSet:
    """The examples of a set, and where they are from: REPOSITORY@COMMIT, or a folder."""

    set: EvaluationSet
    examples: tuple[Example, ...]
    source: str


def find(name: str) -> EvaluationSet | None:
    """The set that is called `name`, in any case."""
    return SETS.get(name.strip().casefold())


def names() -> list[str]:
    return list(SETS)


def load(wanted: EvaluationSet, settings: Settings, report: Report, folder: Path | None = None) -> LoadedSet:
    """Read a set: from `folder`, where it lies as its authors publish it, else from the hub's cache, else the hub.

    What is cached is not looked for again: these sets do not change. Raises InputError for a folder without its files
    and for a file that is not what it should be, NetworkError where the hub is not reached or may not be.
    """
    if folder is not None:
        return LoadedSet(wanted, _labelled(wanted, read_folder(wanted, folder)), str(folder))
    if wanted.repo_id is None:
        raise UsageError(f"{wanted.name} is read from a folder only", "name the folder that its files are in")
    snapshot, file = _cached(wanted, settings) or _fetch(wanted, settings, report)
    table = read_file(str(snapshot / file))
    if isinstance(table, str):
        raise InputError(f"{file} of {wanted.repo_id} is no table")
    reading = examples_of(table, wanted.task, wanted.columns, wanted.languages)
    refuse_broken(reading.broken)
    source = f"{wanted.repo_id}@{snapshot.name[:7]}"
    return LoadedSet(wanted, _labelled(wanted, reading.examples), source)


def _labelled(wanted: EvaluationSet, examples: list[Example]) -> tuple[Example, ...]:
    """With the names of the labels that the set gives as numbers."""
    names = {str(number): label for number, label in enumerate(wanted.labels)}
    return tuple(replace(example, answer=names.get(example.answer, example.answer)) for example in examples)


def _cached(wanted: EvaluationSet, settings: Settings) -> tuple[Path, str] | None:
    """The snapshot in the hub's cache and the set's file in it, where it is there."""
    repository = settings.hub_dir / f"datasets--{str(wanted.repo_id).replace('/', '--')}"
    try:
        commit = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    snapshot = repository / "snapshots" / commit
    here = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()]
    file = _matching(wanted, here)
    return (snapshot, file) if file else None


def _fetch(wanted: EvaluationSet, settings: Settings, report: Report) -> tuple[Path, str]:
    repo_id = str(wanted.repo_id)
    if settings.offline:
        raise NetworkError(
            f"{wanted.name} is not on this machine and cannot be fetched offline",
            f"go online and leave out {settings.sources['offline']}, or name a folder with its files",
        )
    hub = door.hub()
    listing = hub.list_files(repo_id, None, report, repo_type="dataset")
    file = _matching(wanted, listing.files)
    if file is None:
        raise CheckpointError(
            f"{repo_id} holds {wanted.name} no longer: no {wanted.files[0]}", "name a folder with its files instead"
        )
    report(Notice(f"downloading {wanted.name} from {repo_id} ({listing.files[file] / 1e6:.1f} MB)"))
    return hub.fetch(listing, [file], None, settings.hub_dir, report), file


def _matching(wanted: EvaluationSet, files: list[str] | dict[str, int]) -> str | None:
    """The file of the first pattern that one has."""
    return next((file for pattern in wanted.files for file in sorted(files) if fnmatch(file, pattern)), None)
