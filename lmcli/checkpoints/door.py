"""The door to huggingface_hub, which reads its variables when it is imported."""

from __future__ import annotations

import os
from typing import Any


def hub() -> Any:
    """The module that talks to the hub: no telemetry, no update check, no bars of its own."""
    for name in ("TELEMETRY", "PROGRESS_BARS", "UPDATE_CHECK", "XET", "SYMLINKS_WARNING"):
        # Xet downloads run on threads of their own that do not stop at Ctrl-C.
        os.environ.setdefault(f"HF_HUB_DISABLE_{name}", "1")
    from lmcli.checkpoints import hub

    return hub
