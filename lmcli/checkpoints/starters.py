"""The starters: small checkpoints that come with lmcli, so that some tasks need nothing fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmcli.checkpoints import catalog, checkpoint
from lmcli.errors import CheckpointError
from lmcli.settings import Settings
from lmcli.types import Checkpoint


@dataclass(frozen=True)
class Starter:
    """A checkpoint of the package, in the `folder` of that name.

    `languages` are written as catalog.Entry writes them. `caveat` is what users should know before they rely on it.
    """

    name: str
    folder: str
    task: str
    languages: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    caveat: str = ""


STARTERS = (
    Starter("starter-sentiment", "sentiment", "sentiment", ("en", "zh")),
    Starter(
        "starter-translation", "translation", "translate", ("en>zh", "zh>en"), ("starter-en-zh", "starter-zh-en"),
        "made for everyday sentences; news, names and long sentences come out badly",
    ),
)  # fmt: skip


def lookup(name: str) -> Starter | None:
    """The starter called `name`, or known by it as an alias."""
    return next((starter for starter in STARTERS if name in (starter.name, *starter.aliases)), None)


def made_for(task: str, languages: tuple[str, str] | None) -> Starter | None:
    """The starter for `task` that knows the languages, or whatever it knows where nobody has told them."""
    made = (starter for starter in STARTERS if starter.task == task)
    return next((starter for starter in made if not languages or catalog.covers(starter.languages, languages)), None)


def place(starter: Starter, settings: Settings) -> Path:
    """Where it lies, if it is in this installation."""
    return settings.starters_dir / starter.folder


def is_here(starter: Starter, settings: Settings) -> bool:
    """Whether this installation has it."""
    return (place(starter, settings) / "config.json").is_file()


def read(starter: Starter, settings: Settings) -> Checkpoint | None:
    """The checkpoint, None where this installation lacks it. Raises CheckpointError for a damaged one."""
    return checkpoint.read(place(starter, settings), starter.name) if is_here(starter, settings) else None


def here(settings: Settings) -> list[Checkpoint]:
    """Those of this installation that can be read."""
    found = []
    for starter in STARTERS:
        try:
            found.append(read(starter, settings))
        except CheckpointError:
            continue
    return [each for each in found if each is not None]


def names(settings: Settings) -> list[str]:
    """The names of those of this installation, aliases included."""
    return [name for each in STARTERS if is_here(each, settings) for name in (each.name, *each.aliases)]
