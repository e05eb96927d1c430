"""Writes a checkpoint folder so that it is whole or not there: in a folder beside its place, renamed at the end."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lmcli.errors import LmcliError

# What is no weight and goes with them: tokenizer, templates, configs, the model card, its picture and its licence.
_KEPT = (".json", ".jinja", ".txt", ".model", ".spm", ".md", ".svg", ".tiktoken")
_NOT_KEPT = ("config.json", "adapter_config.json")


@contextmanager
def new_folder(folder: Path, needed_bytes: int) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `folder` when the block ends; an error leaves nothing of it.

    Raises LmcliError where the disk is full or may not be written to.
    """
    part = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder.parent).free < needed_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield part
        part.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            needed = f"{needed_bytes / 1e9:.2f} GB are needed"
            way_out = "free some space (lmcli list, lmcli rm), or write elsewhere: -o FOLDER"
            raise LmcliError(f"the disk of {folder.parent} is full: {needed}", way_out) from error
        if isinstance(error, BrokenPipeError):  # Not the disk: who was told of the progress has left.
            raise
        raise LmcliError(f"cannot write {folder}: {error.strerror}", "write elsewhere: -o FOLDER") from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def copy_companions(source: Path, target: Path) -> None:
    """Copy all that a checkpoint needs beside config.json and its weights."""
    for file in sorted(source.iterdir()):
        licence = file.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE"))
        is_index = file.name.endswith(".safetensors.index.json")
        if file.is_file() and file.name not in _NOT_KEPT and not is_index and (file.suffix in _KEPT or licence):
            shutil.copyfile(file, target / file.name)


@dataclass(frozen=True)
class TensorInfo:
    """A tensor's dtype, as safetensors names it, its shape and its bytes."""

    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


class SafetensorsWriter:
    """model.safetensors, a tensor at a time in any order; the largest elements lie first, so that all are aligned."""

    def __init__(self, file: BinaryIO, tensors: Mapping[str, TensorInfo], alignments: Mapping[str, int]) -> None:
        """`alignments` are the bytes of an element of each dtype."""
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        self._file, self._offsets, offset = file, {}, 0
        for name, info in sorted(tensors.items(), key=lambda item: -alignments[item[1].dtype]):
            end = offset + info.size_bytes
            header[name] = {"dtype": info.dtype, "shape": info.shape, "data_offsets": [offset, end]}
            self._offsets[name], offset = offset, end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._start = 8 + len(text)
        file.write(struct.pack("<Q", len(text)) + text)

    def write(self, name: str, data: memoryview | bytes) -> None:
        self._file.seek(self._start + self._offsets[name])
        self._file.write(data)
