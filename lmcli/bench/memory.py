"""The peak memory of another process, watched from outside so that it costs that process nothing."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path

import psutil

_PERIOD_SECONDS = 0.05


class MemoryWatch:
    """Keeps the peaks of process `pid` until `stop`."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._status = Path(f"/proc/{pid}/status")
        self._peak = self._peak_anonymous = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def peaks(self) -> tuple[int, int]:
        """Bytes: the most that was resident, and the most of it that no file stands behind."""
        self._look()
        return self._peak, self._peak_anonymous

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_PERIOD_SECONDS):
            self._look()

    def _look(self) -> None:
        with suppress(psutil.Error, OSError):
            peak, anonymous = self._of_proc() if self._status.exists() else self._of_psutil()
            self._peak, self._peak_anonymous = max(self._peak, peak), max(self._peak_anonymous, anonymous)

    def _of_proc(self) -> tuple[int, int]:
        fields = dict(re.findall(r"^(VmHWM|RssAnon):\s+(\d+) kB", self._status.read_text(), re.MULTILINE))
        return int(fields.get("VmHWM", 0)) << 10, int(fields.get("RssAnon", 0)) << 10

    def _of_psutil(self) -> tuple[int, int]:
        memory = self._process.memory_full_info()
        return getattr(memory, "peak_wset", memory.rss), memory.uss
