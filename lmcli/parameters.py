"""What each sampling parameter takes: one table for the flags and for the chat's /set."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """How a sampling parameter is read from text; `read` raises ValueError for what it does not take."""

    read: Callable[[str], Any]
    takes: str


def _number(low: float, high: float, *, or_zero: bool = False) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        # NaN lies in no range.
        if not (low <= value <= high or (or_zero and value == 0)):
            raise ValueError(text)
        return value

    return read


def _whole(low: int, *, optional: bool = False) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        if optional and text.lower() == "none":
            return None
        value = int(text)
        if not low <= value < 2**63:  # as torch takes it
            raise ValueError(text)
        return value

    return read


def _texts(text: str) -> tuple[str, ...]:
    return () if text.lower() == "none" else tuple(part for part in shlex.split(text) if part)


# Logits are divided by the temperature and the penalty: further out they would leave the range of float32.
PARAMETERS = {
    "max_tokens": Parameter(_whole(1, optional=True), "a whole number from 1, or none"),
    "temperature": Parameter(_number(0.001, 100, or_zero=True), "0 (greedy), or a number from 0.001 to 100"),
    "top_k": Parameter(_whole(0), "a whole number from 0 (off)"),
    "top_p": Parameter(_number(0, 1), "a number from 0 to 1 (off)"),
    "min_p": Parameter(_number(0, 1), "a number from 0 (off) to 1"),
    "repetition_penalty": Parameter(_number(0.01, 100), "a number from 0.01 to 100; 1 is off"),
    "stop": Parameter(_texts, "texts to end before, in quotes where they hold spaces, or none"),
    "seed": Parameter(_whole(0, optional=True), "a whole number from 0, below 2 to the 63rd, or none"),
}
