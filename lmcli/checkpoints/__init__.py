"""Checkpoints: find them on this machine, pull them from the hub, list and remove them.

`pull` is the door to huggingface_hub, numpy and gguf; everything else here costs the standard library alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from lmcli.checkpoints import catalog, checkpoint, reference, store
from lmcli.errors import CheckpointNotFound, LmcliError
from lmcli.settings import Settings, load
from lmcli.types import Checkpoint, Event

find = store.find
cached = store.cached
remove = store.remove
read = checkpoint.read
place = store.place
place_new = store.place_new
place_quantized = store.place_quantized


def known(ref: str, settings: Settings) -> reference.Reference:
    """What `ref` means. Raises CheckpointNotFound for a path where nothing is or a short name nobody
    knows."""
    wanted = reference.parse(ref)
    if wanted.path is None and wanted.repo_id is None and store.find(ref, settings) is None:
        raise reference.unknown(ref, [entry.name for entry in catalog.ENTRIES] + store.cached_names(settings))
    return wanted


def pull(
    ref: str,
    settings: Settings,
    report: Callable[[Event], None] = lambda event: None,
    *,
    trust_remote_code: bool = False,
) -> Checkpoint:
    """Fetch `ref`, or its newer commit, and return it; a GGUF file of the user's own is converted.

    `report` is told what is fetched and how much of it is there. Raises CheckpointNotFound, UnsafeCheckpoint,
    CheckpointError or NetworkError.
    """
    from lmcli.checkpoints import pulling

    return pulling.pull(known(ref, settings), settings, report, trust_remote_code)


def names(variables: Mapping[str, str] | None = None) -> list[str]:
    """Catalogue and cached names, for a shell's completion: no request, no weights read."""
    entries = [entry.name for entry in catalog.ENTRIES]
    try:
        here = store.cached_names(load(os.environ if variables is None else variables))
    except LmcliError:  # A broken config file is no reason to complete nothing.
        here = []
    return sorted(dict.fromkeys(entries + here))


def missing(ref: str) -> CheckpointNotFound:
    """The error for a checkpoint that is not here and may not be fetched."""
    return CheckpointNotFound(f"{ref} is not on this machine", f"fetch it: lmcli pull {ref}")
