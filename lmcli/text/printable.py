"""Text that may be shown: what a model writes or a file holds must not drive the terminal."""

from __future__ import annotations

import re

# C0 and C1 controls but tab and newline. Dropping each by itself leaves nothing to join over two chunks.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """`text` without control characters."""
    return _CONTROLS.sub("", text)
