"""The bench: how fast a checkpoint runs here, beside what else can run it. `run` is the door.

Each side works in a process of its own (`worker.py`), so that neither threads nor memory of one are another's, and
`rounds.py` lets them take turns: the speed of a machine drifts within minutes, ratios of turns in a row do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmcli.bench.plan import Plan
    from lmcli.bench.report import Report
    from lmcli.types import Checkpoint, Event

# What lmcli's own engine can be told after a colon (`lmcli:float32`): the options that stands for.
OWN: dict[str, dict[str, Any]] = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"bits": 8},
}


@dataclass(frozen=True)
class Kind:
    """A side: its file in `sides/`, what Python imports for it and pip installs, and its precisions."""

    module: str
    imports: str
    package: str
    precisions: tuple[str, ...]


# Without a precision behind a colon a side runs the checkpoint as it does by default.
SIDES = {
    "lmcli": Kind("ours", "torch", "torch", tuple(OWN)),
    "transformers": Kind("transformers", "transformers", "transformers", ("float32", "bfloat16", "float16")),
    "llama.cpp": Kind("llama_cpp", "llama_cpp", "llama-cpp-python", ("f32", "f16", "bf16", "q8_0", "q4_0")),
}
NAMES = tuple(name for side, kind in SIDES.items() for name in (side, *(f"{side}:{p}" for p in kind.precisions)))


def run(checkpoint: Checkpoint, plan: Plan, report: Callable[[Event], None] = lambda event: None) -> Report:
    """Measure `checkpoint` as `plan` says; `report` is told of the progress.

    Raises UsageError for a side that is not installed or cannot run this checkpoint, and what loading it raises. No
    process of ours is left when it returns or raises.
    """
    from lmcli.bench.rounds import measure

    return measure(checkpoint, plan, report)
