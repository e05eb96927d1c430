"""Rebuilding: writes a checkpoint of tensors that are made of another's one at a time, so that only one is held."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lmcli.checkpoints.writing import SafetensorsWriter, TensorInfo, copy_companions, new_folder
from lmcli.types import Checkpoint, Event, Progress

SAFETENSORS_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_SIZES = {name: dtype.itemsize for dtype, name in SAFETENSORS_NAMES.items()}


class Piece(NamedTuple):
    """Tensors that are made together, by name: what they will be, and the making of them."""

    infos: dict[str, TensorInfo]
    make: Callable[[], dict[str, Tensor]]


def rebuild(
    source: Checkpoint, folder: Path, config: dict[str, Any], pieces: Sequence[Piece],
    report: Callable[[Event], None], card: Callable[[str], str],
) -> None:  # fmt: skip
    """Write a folder with this config and these tensors, and all else that belongs to `source`; `card` edits its card.

    A folder that is there is replaced once the new one is whole. Raises LmcliError where the disk is full.
    """
    tensors = {name: found for piece in pieces for name, found in piece.infos.items()}
    with new_folder(folder, sum(found.size_bytes for found in tensors.values()) + 2**24) as part:
        copy_companions(source.path, part)
        if (readme := part / "README.md").exists():
            readme.write_text(card(readme.read_text(encoding="utf-8")), encoding="utf-8")
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (part / "config.json").write_text(text, encoding="utf-8")
        with (part / "model.safetensors").open("wb") as file:
            writer = SafetensorsWriter(file, tensors, _SIZES)
            for done, piece in enumerate(pieces, 1):
                for name, tensor in piece.make().items():
                    writer.write(name, _bytes(tensor))
                report(Progress(done, len(pieces), "tensors"))


def kept(name: str, tensor: Tensor) -> Piece:
    """A tensor that is written as it is."""
    return Piece({name: info(tensor)}, lambda: {name: tensor})


def info(tensor: Tensor) -> TensorInfo:
    """What a tensor is in its file."""
    return TensorInfo(SAFETENSORS_NAMES[tensor.dtype], tuple(tensor.shape), tensor.nbytes)


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
