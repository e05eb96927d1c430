"""Merging: the mean of the weights of checkpoints that were trained from one, which often does better than each alone.

Model soups: Wortsman et al. 2022, arXiv:2203.05482.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmcli.checkpoints.checkpoint import read_config
from lmcli.engine.files import read_json
from lmcli.engine.rebuilding import Piece, info, rebuild
from lmcli.engine.weights import read_weights
from lmcli.errors import UsageError
from lmcli.types import Checkpoint, Event

# What a config says first of a checkpoint, and what two trainings of one may say differently.
_TELLING = ("model_type", "architectures", "id2label", "vocab_size")
_BESIDE_THE_POINT = {"_name_or_path", "dtype", "torch_dtype", "transformers_version", "use_cache"}
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model", "sentencepiece.bpe.model")


def merge(
    sources: Sequence[Checkpoint], shares: Sequence[float], folder: Path, report: Callable[[Event], None]
) -> float:
    """Write into `folder` the mean of the `sources`' weights, each with its share; see lmcli.engine.merge."""
    configs = [read_config(source.path) for source in sources]
    for source, config in zip(sources, configs, strict=True):
        _check_alike(sources[0], configs[0], source, config)
    weights = [read_weights(source.path) for source in sources]
    for source, found in zip(sources, weights, strict=True):
        _check_shapes(sources[0], weights[0], source, found)
    likeness = min(_likeness(weights[0], other) for other in weights[1:])
    pieces = [
        Piece({name: info(tensor)}, partial(_mean, name, [found[name] for found in weights], shares))
        for name, tensor in weights[0].items()
    ]
    note = _note(sources, shares)
    rebuild(sources[0], folder, configs[0], pieces, report, lambda card: f"{card.rstrip()}\n\n{note}")
    return likeness


def _mean(name: str, tensors: Sequence[Tensor], shares: Sequence[float]) -> dict[str, Tensor]:
    """Sums are in float32; what is no fraction, a buffer of positions say, stays as the first has it."""
    first = tensors[0]
    if not first.is_floating_point():
        return {name: first}
    mean = torch.zeros_like(first, dtype=torch.float32)
    for tensor, share in zip(tensors, shares, strict=True):
        mean.add_(tensor.float(), alpha=share)
    return {name: mean.to(first.dtype)}


def _likeness(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The cosine between all matrices of two checkpoints: near 1 where both were trained from one, else near 0."""
    both = squares_of_one = squares_of_other = 0.0
    for name, tensor in one.items():
        if tensor.is_floating_point() and tensor.dim() > 1:
            left, right = tensor.float().flatten(), other[name].float().flatten()
            both += float(left @ right)
            squares_of_one += float(left @ left)
            squares_of_other += float(right @ right)
    return both / max((squares_of_one * squares_of_other) ** 0.5, torch.finfo(torch.float32).tiny)


def _check_alike(first: Checkpoint, ours: dict[str, Any], other: Checkpoint, theirs: dict[str, Any]) -> None:
    if theirs.get("quantization_config"):
        raise UsageError(f"{other.name} is quantized", "merge what it was made from, and quantize the result")
    for name in (*_TELLING, *sorted((ours.keys() & theirs.keys()) - _BESIDE_THE_POINT)):  # A default may be left out.
        if ours.get(name) != theirs.get(name):
            raise _unlike(first, other, f"in {name} of config.json")
    for name in _VOCABULARIES:
        if _vocabulary(first.path / name) != _vocabulary(other.path / name):
            raise _unlike(first, other, f"in {name}")


def _vocabulary(file: Path) -> object:
    """What a file says of its tokens; where texts are cut and how they are padded is each training's own."""
    if file.suffix != ".json":
        return file.read_bytes() if file.exists() else None
    return {name: value for name, value in read_json(file).items() if name not in ("truncation", "padding")}


def _check_shapes(first: Checkpoint, ours: dict[str, Tensor], other: Checkpoint, theirs: dict[str, Tensor]) -> None:
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs or ours[name].shape != theirs[name].shape:
            raise _unlike(first, other, f"in the tensor {name}")


def _unlike(first: Checkpoint, other: Checkpoint, where: str) -> UsageError:
    return UsageError(
        f"{first.name} and {other.name} differ {where}", "only checkpoints that were trained from one can be merged"
    )


def _note(sources: Sequence[Checkpoint], shares: Sequence[float]) -> str:
    """What the card of the mean says at its end."""
    rows = "\n".join(f"- {source.name}, {share:.0%}" for source, share in zip(sources, shares, strict=True))
    return f"""\
## Merged

These weights are the mean (a model soup, arXiv:2203.05482) of those of

{rows}

The figures above are of {sources[0].name} alone.
"""
