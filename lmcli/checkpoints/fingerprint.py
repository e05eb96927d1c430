"""Whether a checkpoint is still the one it was: for what is computed from its weights and kept on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lmcli.checkpoints.checkpoint import weight_files

_SAMPLES, _SAMPLE_BYTES = 16, 4096


def fingerprint(path: Path) -> str:
    """64 hexadecimal digits that are others once config.json or a weight file in `path` was changed or replaced.

    Reading all weights would take seconds, so it goes by which file it is, its size and its times. The time of the
    last change (st_ctime) cannot be set back by a program, as that of the last writing can; the samples are for file
    systems that keep neither well. Raises CheckpointError or OSError where a file is missing.
    """
    digest = hashlib.sha256()
    for file in (path / "config.json", *weight_files(path)):
        found = file.stat()
        which = (file.name, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        digest.update(repr(which).encode())
        with file.open("rb") as stream:
            for sample in range(_SAMPLES):
                stream.seek(max(found.st_size - _SAMPLE_BYTES, 0) * sample // (_SAMPLES - 1))
                digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()
