"""The folder of kept prompts: whole files only, the least recently used going first. It needs no torch."""

from __future__ import annotations

import os
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ENDING, _PART = ".safetensors", ".part"
_ABANDONED_SECONDS = 3600  # A part this old belongs to a process that was killed.
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class PrefixFolder:
    """Files named KEY-CHECKSUM.safetensors in `path`, together at most `limit_bytes`.

    Several processes may work on it at once. What the user's texts said can be found out from it, so nobody else may
    look into it.
    """

    path: Path
    limit_bytes: int = 0

    def files(self) -> dict[str, Path]:
        """Every file by its key; none where the folder cannot be read."""
        try:
            names = [name for name in os.listdir(self.path) if name.endswith(_ENDING)]
        except OSError:
            return {}
        return {name.rpartition("-")[0]: self.path / name for name in names}

    def add(self, key: str, size_bytes: int, write: Callable[[Path], None]) -> None:
        """Have `write` fill a file of about `size_bytes` and name it after `key`, removing others to make room.

        Raises OSError where it cannot be written or is larger than the limit.
        """
        if size_bytes > self.limit_bytes:
            raise OSError(f"a block of {-(-size_bytes // 10**6)} MB is more than prompt_cache_mb allows")
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)  # It may have been there.
        self._make_room(size_bytes)
        handle, name = tempfile.mkstemp(_PART, dir=self.path)
        os.close(handle)
        part = Path(name)
        try:
            write(part)
            # Renamed when it is whole, so that another process sees all of it or nothing.
            part.replace(self.path / f"{key}-{_checksum(part)}{_ENDING}")
        except BaseException:
            self.discard(part)
            raise

    def is_whole(self, file: Path) -> bool:
        """Whether `file` is as it was written: after a power failure it may have its length and hold nothing.

        Raises OSError.
        """
        return file.stem.rpartition("-")[2] == _checksum(file)

    def touch(self, file: Path) -> None:
        """Note that `file` was of use."""
        with suppress(OSError):
            os.utime(file)

    def discard(self, file: Path) -> None:
        """Remove `file`, if it can be: it may be gone, not ours, or open elsewhere on Windows."""
        with suppress(OSError):
            file.unlink()

    def clear(self) -> int:
        """Remove every file and return the bytes freed. Raises OSError where one cannot be removed."""
        freed = 0
        for _, size, file in self._all():
            file.unlink(missing_ok=True)
            freed += size
        return freed

    def _make_room(self, size_bytes: int) -> None:
        total, now = size_bytes, time.time()
        for used, size, file in self._all():
            total += size
            if total > self.limit_bytes or (file.suffix == _PART and now - used > _ABANDONED_SECONDS):
                self.discard(file)

    def _all(self) -> list[tuple[float, int, Path]]:
        """When each file was last used, its size in bytes and its path; the last used first."""
        found = []
        for name in os.listdir(self.path) if self.path.is_dir() else ():
            with suppress(FileNotFoundError):  # another process makes room, too
                if name.endswith((_ENDING, _PART)):
                    stat = (self.path / name).stat()
                    found.append((stat.st_mtime, stat.st_size, self.path / name))
        return sorted(found, reverse=True)


def _checksum(file: Path) -> str:
    """crc32 in hexadecimal: it is computed about as fast as the file is read."""
    checksum = 0
    with file.open("rb") as stream:
        while read := stream.read(_READ_BYTES):
            checksum = zlib.crc32(read, checksum)
    return f"{checksum:08x}"
