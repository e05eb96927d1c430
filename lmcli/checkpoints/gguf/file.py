"""Reads a GGUF file: its metadata, and its tensors one at a time through a memory map.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The `gguf` package's own reader takes
seconds over a vocabulary because it maps every string on its own; reading the header in one pass takes a
tenth of that.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

from lmcli.errors import CheckpointError

AGAIN = "fetch the file again; it is damaged or was not downloaded to its end"
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
_LONGEST = 1 << 31  # A count above this is damage, not data.


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: `shape` is in the order of safetensors, rows first; `offset` counts from the
    file's start."""

    name: str
    shape: tuple[int, ...]
    quantization: str  # F32, F16, BF16, Q8_0, Q4_K…
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class GGUF:
    """A GGUF file's metadata by key and its tensors by name."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, Tensor]

    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, in which `{arch}` stands for the file's architecture."""
        return self.metadata.get(key.replace("{arch}", self.architecture), default)

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", "unknown"))


def read(path: Path) -> GGUF:
    """Read the header. Raises CheckpointError for a file that is no GGUF, is cut short or is quantized as no
    one knows."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise CheckpointError(f"{path}: this is not a GGUF file", AGAIN)
        version = struct.unpack("<I", file.read(4).ljust(4, b"\0"))[0]
        if version not in (2, 3):
            raise CheckpointError(f"{path}: GGUF version {version} is not known", "versions 2 and 3 can be read")
        try:
            return _header(path, file)
        except (struct.error, EOFError, UnicodeDecodeError, RecursionError) as error:
            raise CheckpointError(f"{path}: the header is cut short or damaged", AGAIN) from error


def load(gguf: GGUF, tensor: Tensor, memory: np.ndarray) -> np.ndarray:
    """The tensor's values as float32, dequantized; `memory` is the whole file's bytes, mapped."""
    raw = memory[tensor.offset : tensor.offset + tensor.size_bytes]
    kind = GGMLQuantizationType[tensor.quantization]
    if kind == GGMLQuantizationType.F32:
        return raw.view(np.float32).reshape(tensor.shape)
    if kind == GGMLQuantizationType.F16:
        return raw.view(np.float16).astype(np.float32).reshape(tensor.shape)
    try:
        values = dequantize(raw.reshape(*tensor.shape[:-1], -1), kind)
    except NotImplementedError as error:
        raise unknown_quantization(gguf.path, tensor.quantization) from error
    return np.asarray(values, np.float32).reshape(tensor.shape)


def unknown_quantization(path: Path, quantization: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: weights quantized as {quantization} cannot be read",
        "use a file quantized as F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 or Q2_K to Q6_K",
    )


def _header(path: Path, file: BinaryIO) -> GGUF:
    tensor_count, entry_count = _counts(file)
    metadata = {}
    for _ in range(entry_count):
        key = _string(file)
        metadata[key] = _value(file, _unpack(file, "<I"))
    infos = [_tensor_info(file) for _ in range(tensor_count)]
    alignment = int(metadata.get("general.alignment", 32)) or 32
    start = math.ceil(file.tell() / alignment) * alignment
    size = path.stat().st_size
    tensors = {}
    for name, shape, kind, offset in infos:
        tensor = _place(path, name, shape, kind, start + offset)
        if tensor.offset + tensor.size_bytes > size:
            needed = max(start + o for _, _, _, o in infos)
            raise CheckpointError(
                f"{path}: the file ends inside '{name}' ({size:,} bytes of more than {needed:,})", AGAIN
            )
        tensors[name] = tensor
    return GGUF(path, metadata, tensors)


def _place(path: Path, name: str, shape: tuple[int, ...], kind: int, offset: int) -> Tensor:
    try:
        quantization = GGMLQuantizationType(kind)
    except ValueError as error:
        raise unknown_quantization(path, f"type {kind}") from error
    block, block_bytes = GGML_QUANT_SIZES[quantization]
    return Tensor(name, shape, quantization.name, offset, math.prod(shape) // block * block_bytes)


def _tensor_info(file: BinaryIO) -> tuple[str, tuple[int, ...], int, int]:
    name = _string(file)
    dimensions = _unpack(file, "<I")
    if dimensions > 8:
        raise EOFError
    shape = tuple(_unpack(file, "<Q") for _ in range(dimensions))
    return name, shape[::-1], _unpack(file, "<I"), _unpack(file, "<Q")


def _counts(file: BinaryIO) -> tuple[int, int]:
    tensors, entries = _unpack(file, "<Q"), _unpack(file, "<Q")
    if max(tensors, entries) > _LONGEST:
        raise EOFError
    return tensors, entries


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        return _array(file, _unpack(file, "<I"), _unpack(file, "<Q"))
    if kind not in _SCALARS:
        raise EOFError
    return _unpack(file, _SCALARS[kind])


def _array(file: BinaryIO, kind: int, count: int) -> list[Any]:
    if count > _LONGEST:
        raise EOFError
    if kind in _SCALARS:
        code = _SCALARS[kind][1]
        return list(struct.unpack(f"<{count}{code}", _take(file, count * struct.calcsize(_SCALARS[kind]))))
    read_one: Callable[[], Any] = (lambda: _string(file)) if kind == _STRING else (lambda: _value(file, kind))
    return [read_one() for _ in range(count)]


def _string(file: BinaryIO) -> str:
    return _take(file, _unpack(file, "<Q")).decode("utf-8", "replace")


def _unpack(file: BinaryIO, code: str) -> Any:
    return struct.unpack(code, file.read(struct.calcsize(code)))[0]


def _take(file: BinaryIO, count: int) -> bytes:
    if count > _LONGEST:
        raise EOFError
    data = file.read(count)
    if len(data) != count:
        raise EOFError
    return data
