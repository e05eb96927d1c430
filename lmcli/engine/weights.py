"""Weights by mmap: safetensors files opened as tensors that the system pages in when they are read."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lmcli.checkpoints.checkpoint import weight_files
from lmcli.errors import CheckpointError


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint by its name, mapped from its file and not yet read."""
    weights: dict[str, Tensor] = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                weights |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"cannot read {path}: {error}", "pull the checkpoint again") from error
    return weights


def assign(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put `weights` in the place of a meta module's parameters, without a copy.

    Raises CheckpointError where a weight is missing, left over or of another shape than config.json says.
    """
    try:
        module.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise CheckpointError(f"the weights do not fit config.json: {first}", "pull the checkpoint again") from error
    module.requires_grad_(False)
