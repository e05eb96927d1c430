"""The checkpoints on this machine: the hub's shared cache, lmcli's own, what the user made, folders, converted GGUF
files, starters.

The hub's layout is read with the standard library alone, so that finding a checkpoint takes milliseconds:
`models--org--name/{refs/main, snapshots/<commit>/…}`.
"""

from __future__ import annotations

import os
import re
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

from lmcli.checkpoints import catalog, checkpoint, door, reference, starters
from lmcli.checkpoints.reference import Reference
from lmcli.errors import CheckpointError, CheckpointNotFound, UsageError
from lmcli.settings import Settings
from lmcli.types import Checkpoint


def find(ref: str, settings: Settings) -> Checkpoint | None:
    """The checkpoint `ref` means, or None where it is not on this machine or not whole.

    Raises CheckpointNotFound for a path where nothing is, CheckpointError for a damaged checkpoint.
    """
    wanted = reference.parse(ref)
    if wanted.path is not None:
        if wanted.path.is_dir():
            return checkpoint.read(wanted.path, wanted.name)
        folder = converted(wanted.path, settings)
        return checkpoint.read(folder, wanted.name) if folder.is_dir() else None
    if starter := starters.lookup(ref):
        return starters.read(starter, settings)
    snapshot = _snapshot(settings.hub_dir, wanted.repo_id or wanted.name, wanted.revision)
    if snapshot is not None:
        return checkpoint.read(snapshot, wanted.name, snapshot.name)
    own = _own(wanted, settings)
    return checkpoint.read(own, wanted.name) if own.is_dir() else None


def cached(settings: Settings) -> list[Checkpoint]:
    """Every usable checkpoint in the hub's cache, whoever fetched it, in lmcli's own and among those that the user
    made, behind those that come with lmcli."""
    found = starters.here(settings)
    for name, folder in _folders(settings):
        try:
            revision = folder.name if folder.parent.name == "snapshots" else None
            found.append(checkpoint.read(folder, name, revision))
        except CheckpointError:
            continue  # Other tools keep other things here: embedders, image models, halves of downloads.
    return found


def cached_names(settings: Settings) -> list[str]:
    """The names of `cached`, without reading any weights."""
    return [*starters.names(settings), *(name for name, _ in _folders(settings))]


def remove(ref: str, settings: Settings) -> int:
    """Delete a checkpoint from the caches and return the bytes freed.

    Raises UsageError for a folder or file of the user's own and for a starter, CheckpointNotFound where there is
    nothing.
    """
    wanted = reference.parse(ref)
    if wanted.path is None and (starter := starters.lookup(ref)):
        hint = f'take another in its place with -m REF, or for always in config.toml: [models] {starter.task} = "REF"'
        raise UsageError(f"{starter.name} is a part of lmcli and is not removed", hint)
    if wanted.path is not None and wanted.path.is_dir():
        raise UsageError(f"{ref} is a folder of your own, not in a cache", f"delete it yourself: rm -r {ref}")
    own = converted(wanted.path, settings) if wanted.path else _own(wanted, settings)
    freed = 0
    if own.is_dir():
        freed += sum(file.stat().st_size for file in own.rglob("*") if file.is_file())
        shutil.rmtree(own)
    repo_id = wanted.repo_id or wanted.name
    if wanted.path is None and _repo(settings.hub_dir, repo_id).is_dir():
        freed += door.hub().delete(settings.hub_dir, repo_id, wanted.revision)
    elif not freed:
        raise CheckpointNotFound(f"{ref} is not on this machine", "lmcli list shows what is")
    return freed


def converted(file: Path, settings: Settings) -> Path:
    """Where the conversion of a GGUF file lies; a file that has changed gets another place."""
    stat = file.stat()
    key = f"{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
    return _fetched(settings) / f"{file.stem}-{zlib.crc32(key.encode()):08x}"


def mirrored(entry: catalog.Entry, settings: Settings) -> Path:
    """Where a catalogue entry lies that came from its mirror."""
    return _fetched(settings) / entry.name


def place_quantized(
    original: Checkpoint, form: str, output: str | None, settings: Settings, force: bool
) -> tuple[str, Path]:
    """The name and folder of what `original` becomes in another `form`, int8 say.

    `output` is a name, or a folder where it has a slash. Raises UsageError for a name that is taken: with `force` only
    by what is no quantized checkpoint.
    """
    name, folder = place(output or f"{original.name.partition('@')[0]}-{form}", settings, bool(output))
    _check_free(folder, force, _is_quantized(folder), "quantized checkpoints")
    return name, folder


def place_new(output: str, settings: Settings, force: bool) -> tuple[str, Path]:
    """The name and folder of a new checkpoint, as `place` gives them.

    Raises UsageError, too, where the folder is there: with `force` only where it holds no checkpoint.
    """
    name, folder = place(output, settings)
    _check_free(folder, force, _whole(folder), "checkpoints")
    return name, folder


def place(output: str, settings: Settings, chosen: bool = True) -> tuple[str, Path]:
    """The name and folder of a checkpoint that is to be written: `output` is a name, or a folder where it has a slash.

    Raises UsageError for a name that was `chosen` and cannot be one, or means another checkpoint.
    """
    if chosen and ("/" in output or os.sep in output):
        folder = Path(output).expanduser()
        return folder.resolve().name, folder
    if chosen and (not re.fullmatch(r"\w[\w.+-]*", output) or output.lower().endswith(".gguf")):
        raise UsageError(f"'{output}' cannot be the name of a checkpoint", "use letters, digits, dots and dashes")
    if chosen and (catalog.lookup(output) is not None or starters.lookup(output) is not None):
        raise UsageError(f"'{output}' already means another checkpoint", "choose another name: -o NAME")
    return output, _made(settings) / output.replace("/", "--")


def _check_free(folder: Path, force: bool, replaceable: bool, what: str) -> None:
    """A folder of the user's that is not `what` is never replaced."""
    if folder.exists() and not (force and replaceable):
        hint = "replace it with --force" if replaceable else f"--force replaces {what} alone"
        raise UsageError(f"{folder} exists already", f"{hint}, or choose another name: -o NAME")


def _made(settings: Settings) -> Path:
    """The folder of the checkpoints that the user made."""
    return settings.data_dir / "checkpoints"


def _fetched(settings: Settings) -> Path:
    """The folder of those that lmcli fetched or converted, outside the hub's cache."""
    return settings.cache_dir / "checkpoints"


def _is_quantized(folder: Path) -> bool:
    try:
        return bool(checkpoint.read_config(folder).get("quantization_config"))
    except CheckpointError:
        return False


def _own(wanted: Reference, settings: Settings) -> Path:
    """Where a checkpoint of that name lies which the user made, else where one would that was fetched."""
    made = _made(settings) / wanted.name.replace("/", "--")
    if made.is_dir():
        return made
    if wanted.entry is not None:
        # A mirror holds one revision only.
        asked = "@" in wanted.name
        return mirrored(wanted.entry, settings) if not asked else _fetched(settings) / wanted.name
    return _fetched(settings) / wanted.name.replace("/", "--")


def _snapshot(hub_dir: Path, repo_id: str, revision: str | None) -> Path | None:
    """The folder of a revision whose weights are whole. Without one asked for: main's, else the newest."""
    repo = _repo(hub_dir, repo_id)
    snapshots = repo / "snapshots"
    if not snapshots.is_dir():
        return None
    candidates = []
    try:
        candidates = [snapshots / (repo / "refs" / (revision or "main")).read_text(encoding="utf-8").strip()]
    except OSError:
        if revision is not None and len(revision) >= 7:
            found = [folder for folder in snapshots.iterdir() if folder.name.startswith(revision)]
            candidates = found if len(found) == 1 else []
    if revision is None:
        # Fetched by its commit it has no refs; main may hold pickles alone, beside the hub's conversion of
        # them.
        candidates += sorted(snapshots.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    return next((folder for folder in candidates if _whole(folder)), None)


def _whole(folder: Path) -> bool:
    if not (folder / "config.json").exists():
        return False
    try:
        return bool(checkpoint.weight_files(folder))
    except CheckpointError:
        return False


def _repo(hub_dir: Path, repo_id: str) -> Path:
    return hub_dir / f"models--{repo_id.replace('/', '--')}"


def _folders(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The name and folder of all that looks like a checkpoint, by name."""
    seen = set()
    for repo in sorted(settings.hub_dir.glob("models--*")):
        repo_id = repo.name.removeprefix("models--").replace("--", "/", 1)
        entry = catalog.of_repo(repo_id)
        folder = _snapshot(settings.hub_dir, repo_id, entry.revision if entry else None)
        if folder is not None:
            name = entry.name if entry else repo_id
            seen.add(name)
            yield name, folder
    places = (_made(settings), _fetched(settings))
    for folder in sorted((folder for place in places for folder in place.glob("[!.]*")), key=lambda each: each.name):
        if folder.name not in seen and starters.lookup(folder.name) is None and _whole(folder):
            seen.add(folder.name)
            yield folder.name, folder
