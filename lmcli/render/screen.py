"""What a terminal can show: how wide it is, and whether it knows more than ASCII."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

_COLUMNS = 80


def columns(stream: TextIO, variables: Mapping[str, str]) -> int:
    """The terminal's columns now; COLUMNS or 80 where it does not say."""
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # a stream of a test's own, a terminal that is gone
        found = 0
    told = variables.get("COLUMNS", "")
    return found or (int(told) if told.isdecimal() else 0) or _COLUMNS


def knows_unicode(variables: Mapping[str, str]) -> bool:
    """Whether lines and dots can be drawn: not where the locale names another encoding, or the console has no font.

    A locale that is not set at all, as in many containers, says nothing about the terminal outside.
    """
    if variables.get("TERM") in ("linux", "dumb"):
        return False
    locale = next(filter(None, map(variables.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "UTF-8")
    return locale.partition("@")[0].rpartition(".")[2].lower().replace("-", "") == "utf8"
