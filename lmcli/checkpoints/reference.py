"""What a user's REF means: a short name, a hub id, a folder or a .gguf file."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from lmcli.checkpoints import catalog
from lmcli.errors import CheckpointNotFound, UsageError

_REVISION = re.compile(r"[\w.+-]+(/[\w.+-]+)*")  # a branch, a tag, a commit, refs/pr/1
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


@dataclass(frozen=True)
class Reference:
    """One of three: `path` is a folder or .gguf file, `repo_id` a repository of the hub, else a name of our
    own cache.

    `name` is what the checkpoint is called from here on; `revision` is the hub's branch, tag or commit, None
    for the catalogue's or main.
    """

    name: str
    path: Path | None = None
    repo_id: str | None = None
    revision: str | None = None
    entry: catalog.Entry | None = None


def parse(ref: str) -> Reference:
    """Raises CheckpointNotFound for a path where nothing is, UsageError for what cannot be a revision."""
    name, _, revision = ref.partition("@")
    entry = catalog.lookup(name)
    path = Path(ref).expanduser()
    if path.is_dir() and (entry is None or (path / "config.json").exists()):
        return Reference(path.resolve().name, path)
    if ref.lower().endswith(".gguf") and path.is_file():
        return Reference(path.stem, path)
    known_form = entry is not None or (_HUB_ID.fullmatch(name) and not name.lower().endswith(".gguf"))
    # A revision becomes part of a path in the cache.
    if known_form and revision and (".." in revision or not _REVISION.fullmatch(revision)):
        raise UsageError(f"'{revision}' cannot be a revision", f"name a branch, tag or commit: {name}@main")
    if entry is not None:
        return Reference(ref, None, entry.repo_id, revision or entry.revision, entry)
    if known_form:
        return Reference(ref, None, name, revision or None, catalog.of_repo(name))
    if _is_path(ref):
        raise CheckpointNotFound(
            f"{ref}: no such file or folder", "check the path, or name a checkpoint: lmcli list --all"
        )
    return Reference(ref)


def unknown(ref: str, known: list[str]) -> CheckpointNotFound:
    """The error for a name that is nowhere, with the one that was probably meant."""
    near = difflib.get_close_matches(ref, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return CheckpointNotFound(
        f"no checkpoint is called '{ref}'",
        f"{hint}lmcli list --all shows the short names; or give a hub id, ORG/NAME",
    )


def _is_path(ref: str) -> bool:
    return ref.startswith((".", "~", "/")) or os.sep in ref or "/" in ref or ref.lower().endswith(".gguf")
