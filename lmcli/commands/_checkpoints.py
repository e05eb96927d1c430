"""What the checkpoint commands share: a checkpoint's facts as a row, and numbers that read well."""

from __future__ import annotations

from typing import Any

from lmcli.checkpoints import catalog, starters
from lmcli.checkpoints.checkpoint import context_length, read_config
from lmcli.types import Checkpoint

COLUMNS = {
    "name": "NAME",
    "kind": "KIND",
    "parameters": "PARAMETERS",
    "size_bytes": "SIZE",
    "license": "LICENCE",
    "with_lmcli": "WITH LMCLI",
}


class Size(int):
    """Bytes that a person reads as 270 MB and JSON as a number; decimal units, as the hub shows them."""

    def __str__(self) -> str:
        return _scaled(self, (" B", " kB", " MB", " GB"))


class File(dict[str, Any]):
    """A file that a person reads as its name and size, and JSON as an object."""

    def __str__(self) -> str:
        return f"{self['name']} ({self['size_bytes']})"


class Count(int):
    """Parameters that a person reads as 135M and JSON as a number."""

    def __str__(self) -> str:
        return _scaled(self, ("", "K", "M", "B"))


def row(checkpoint: Checkpoint) -> dict[str, Any]:
    """The facts of a checkpoint on this machine."""
    entry, starter = catalog.of(checkpoint.name), starters.lookup(checkpoint.name)
    known = starter or entry
    return {
        "name": checkpoint.name,
        "task": known.task if known else None,
        "languages": list(known.languages) if known else [],
        "kind": checkpoint.kind,
        "parameters": Count(checkpoint.num_parameters),
        "size_bytes": Size(checkpoint.size_bytes),
        "license": checkpoint.license or (entry.license if entry else None),
        "gated": entry.gated if entry else None,
        "here": True,
        "with_lmcli": starter is not None,
        "path": str(checkpoint.path),
    }


def facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """All that is known of a checkpoint, its files included."""
    config = read_config(checkpoint.path)
    files = [file for file in sorted(checkpoint.path.iterdir()) if file.is_file()]
    return row(checkpoint) | {
        "revision": checkpoint.revision,
        "model_type": checkpoint.model_type,
        "architecture": next(iter(config.get("architectures") or []), None),
        "dtype": checkpoint.dtype,
        "context_length": context_length(config),
        "chat_template": checkpoint.instruct,
        "labels": list((config.get("id2label") or {}).values()) if checkpoint.kind == "classifier" else [],
        "files": [File(name=file.name, size_bytes=Size(file.stat().st_size)) for file in files],
    }


def entry_row(entry: catalog.Entry) -> dict[str, Any]:
    """The same facts of a catalogue entry that is not on this machine."""
    return {
        "name": entry.name,
        "task": entry.task,
        "languages": list(entry.languages),
        "kind": None,
        "parameters": Count(entry.num_parameters),
        "size_bytes": Size(entry.size_bytes),
        "license": entry.license,
        "gated": entry.gated,
        "here": False,
        "with_lmcli": False,
        "path": None,
    }


def _scaled(value: float, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if value < 999.5:
            return f"{value:.0f}{unit}"
        value /= 1000
    return f"{value:.1f}{units[-1]}"
