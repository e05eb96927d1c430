"""Start-up: what the system can do while torch is being imported, and how long ago it all began."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import psutil

from lmcli.checkpoints.checkpoint import weight_files
from lmcli.errors import CheckpointError
from lmcli.types import Checkpoint


def read_ahead(checkpoint: Checkpoint) -> None:
    """Begin to bring the weights from the disk into the page cache, where they all fit into memory."""
    if hasattr(os, "posix_fadvise") and checkpoint.size_bytes < psutil.virtual_memory().available:
        # A full queue of the disk would let the call wait.
        threading.Thread(target=_fetch, args=(checkpoint.path,), daemon=True).start()


def _fetch(folder: Path) -> None:
    try:
        for path in weight_files(folder):
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
    except (OSError, CheckpointError):
        pass  # Loading will say what is wrong with them.


def process_age() -> float:
    """Seconds since this process began."""
    try:
        # To a hundredth; the wall clock's time of its start is told to a second on Linux.
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        began = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        return uptime - int(began) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return time.time() - psutil.Process().create_time()
