"""The GPU of a run: transformers' Trainer takes the first one it sees, so it is shown only the one that was named."""

from __future__ import annotations

import re
from collections.abc import MutableMapping

_VISIBLE = "CUDA_VISIBLE_DEVICES"  # read when CUDA begins, and by every process that is started here


def choose_gpu(device: str, variables: MutableMapping[str, str]) -> str:
    """`device`, which for `cuda:N` becomes the only GPU that CUDA sees, and with that its first one.

    N counts those that `variables` leave visible. One that there is none of is left to be refused where it is used.
    """
    named = re.fullmatch(r"cuda:(\d+)", device)
    if named is None:
        return device
    number = int(named[1])
    visible = [gpu for gpu in variables.get(_VISIBLE, "").split(",") if gpu]
    if visible and number >= len(visible):
        return device
    variables[_VISIBLE] = visible[number] if visible else str(number)
    return "cuda"
