"""A checkpoint's JSON files, as far as the engine reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmcli.errors import CheckpointError


def read_json(file: Path) -> dict[str, Any]:
    """A checkpoint's JSON file, {} where there is none. Raises CheckpointError where it is broken."""
    try:
        value: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {file}: {error}", "pull the checkpoint again") from error
    return value
