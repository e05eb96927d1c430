"""The parts of a download that know no hub: progress, sha256, the cache's references, room on the disk."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmcli.errors import LmcliError, NetworkError
from lmcli.types import Event, Progress


def bar_class(total: int, report: Callable[[Event], None]) -> type:
    """A class with tqdm's face: every bar of the library moves the one progress over all bytes."""
    state = {"done": 0, "told": 0.0}

    def advance(count: float | None) -> None:
        state["done"] += count or 0
        now = time.monotonic()
        if now - state["told"] > 0.1 or state["done"] >= total:
            state["told"] = now
            report(Progress(min(int(state["done"]), total), total, "bytes"))

    class Bar:
        def __init__(self, *_args: Any, initial: int = 0, **_options: Any) -> None:
            advance(initial)

        def update(self, count: float | None = 1) -> None:
            advance(count)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def close(self) -> None:
            pass

    return Bar


def sha256(file: Path) -> str:
    """The file's sha256 in hexadecimal, read a block at a time."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify(part: Path, name: str, etag: str) -> None:
    """The etag of a large file is its sha256: a byte wrong anywhere means to begin again. Raises NetworkError."""
    if len(etag) == 64 and sha256(part) != etag:
        part.unlink()
        raise NetworkError(f"{name} arrived damaged and was thrown away", "run the command again")


def write_reference(repo: Path, revision: str, commit: str) -> None:
    """Say which commit a branch or tag is at, as the library does after a download by its name."""
    if revision == commit:
        return
    file = repo / "refs" / revision
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    part.write_text(commit, encoding="utf-8")
    part.replace(file)


def refuse_full_disk(hub_dir: Path, needed: int) -> None:
    """Raise LmcliError where `needed` bytes do not fit."""
    folder = next((parent for parent in (hub_dir, *hub_dir.parents) if parent.exists()), hub_dir)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise disk_full(hub_dir, f"{needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free")


def disk_full(hub_dir: Path | str, how: str) -> LmcliError:
    """The error for a cache whose disk is full; `how` says by how much."""
    return LmcliError(
        f"the disk of {hub_dir} is full: {how}", "free some space (lmcli list, lmcli rm) or set HF_HUB_CACHE"
    )
