"""Pulling: gets a checkpoint onto this machine, from the hub, from a mirror, or out of a GGUF file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmcli.checkpoints import checkpoint, door, gguf, mirror, safety, store
from lmcli.checkpoints.reference import Reference
from lmcli.errors import CheckpointError, CheckpointNotFound, LmcliError, NetworkError, UnsafeCheckpoint
from lmcli.settings import Settings
from lmcli.types import Checkpoint, Event, Notice

Report = Callable[[Event], None]


def pull(wanted: Reference, settings: Settings, report: Report, trust_remote_code: bool) -> Checkpoint:
    """Fetch what `wanted` means; see `lmcli.checkpoints.pull`."""
    if wanted.path is not None:
        return _convert(wanted, wanted.path, settings, report)
    here = _here(wanted, settings)
    if wanted.repo_id is None and here:
        report(Notice(f"{wanted.name} is on this machine"))
        return here
    if settings.offline:
        if here is None:
            raise CheckpointNotFound(
                f"{wanted.name} cannot be fetched offline",
                f"go online and leave out {settings.sources['offline']}",
            )
        report(Notice(f"{wanted.name} is on this machine; offline, so no newer one is looked for"))
        return here
    return _from_hub(wanted, here, settings, report, trust_remote_code)


def _from_hub(
    wanted: Reference, here: Checkpoint | None, settings: Settings, report: Report, trust_remote_code: bool
) -> Checkpoint:
    hub, repo_id = door.hub(), str(wanted.repo_id)
    try:
        listing = hub.list_files(repo_id, wanted.revision, report)
    except NetworkError as error:
        return _without_hub(wanted, here, settings, report, error)
    listing, names, revision = _choose(wanted, listing, report, trust_remote_code)
    if here and here.revision == listing.commit and all((here.path / name).exists() for name in names):
        report(Notice(f"{wanted.name} is on this machine and up to date"))
        return here
    size = sum(listing.files[name] for name in names)
    report(Notice(f"downloading {repo_id} ({_megabytes(size)}, {len(names)} files) into {settings.hub_dir}"))
    snapshot = hub.fetch(listing, names, revision, settings.hub_dir, report)
    return checkpoint.read(snapshot, wanted.name, listing.commit)


def _choose(
    wanted: Reference, listing: Any, report: Report, trust_remote_code: bool
) -> tuple[Any, list[str], str | None]:
    """The listing, its needed files and the revision: the hub's own conversion where there are pickles alone."""
    try:
        return listing, safety.needed(wanted.name, listing.files, trust_remote_code=trust_remote_code), wanted.revision
    except UnsafeCheckpoint as refusal:
        revision = _conversion(wanted, refusal)
        report(Notice(f"{refusal.message}; taking the hub's own conversion, {revision}"))
        listing = door.hub().list_files(str(wanted.repo_id), revision, report)
        return listing, safety.needed(wanted.name, listing.files, trust_remote_code=trust_remote_code), revision


def _conversion(wanted: Reference, refusal: UnsafeCheckpoint) -> str:
    """The revision of the hub's conversion of a repository of pickles; `refusal` where there is none."""
    if wanted.revision is not None:
        raise refusal
    try:
        revision = door.hub().conversion(str(wanted.repo_id))
    except LmcliError:
        revision = None
    if revision is None:
        raise refusal
    return str(revision)


def _without_hub(
    wanted: Reference, here: Checkpoint | None, settings: Settings, report: Report, error: NetworkError
) -> Checkpoint:
    if here:
        report(Notice(f"{wanted.name} is on this machine; {error.message}, so no newer one was looked for"))
        return here
    entry = wanted.entry
    if entry is None or entry.mirror is None or wanted.revision is not None:
        raise error
    report(Notice(error.message))
    folder = mirror.fetch(entry.mirror, store.mirrored(entry, settings), report)
    return checkpoint.read(folder, wanted.name)


def _convert(wanted: Reference, path: Path, settings: Settings, report: Report) -> Checkpoint:
    if path.is_dir():
        report(Notice(f"{path} is a folder on this machine"))
        return checkpoint.read(path, wanted.name)
    folder = store.converted(path, settings)
    if not folder.is_dir():
        report(Notice(f"converting {path} to safetensors in {folder}"))
    return checkpoint.read(gguf.convert(path, folder, report), wanted.name)


def _here(wanted: Reference, settings: Settings) -> Checkpoint | None:
    try:
        return store.find(wanted.name, settings)
    except CheckpointError:
        return None  # A damaged one is fetched again.


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
