"""The two ways of writing Chinese: from simplified characters to traditional ones, by phrases and not one by one."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec


def to_traditional() -> Callable[[str], str] | None:
    """The conversion of OpenCC, behind whose door it waits; None where it is not installed."""
    if find_spec("opencc") is None:
        return None
    from opencc import OpenCC

    convert: Callable[[str], str] = OpenCC("s2t").convert
    return convert
