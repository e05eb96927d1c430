"""Restoring: writes a quantized checkpoint with plain weights, the numbers that its 8 or 4 bits stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from lmcli.checkpoints.checkpoint import read_config
from lmcli.checkpoints.writing import TensorInfo
from lmcli.engine.config import NotUnderstood
from lmcli.engine.device import DTYPES
from lmcli.engine.quantization import dequantize
from lmcli.engine.quantized_weights import read_quantization, scaled, without_quantization
from lmcli.engine.rebuilding import SAFETENSORS_NAMES, Piece, kept, rebuild
from lmcli.engine.weights import read_weights
from lmcli.errors import UsageError
from lmcli.types import Checkpoint, Event

# What the card of a quantized checkpoint says at its end.
CARD_NOTE = """\
## Stored in 8 bits

Linear layers and embeddings are int8 with a scale a row, in the layout of compressed-tensors. lmcli reads them; other
programs do not read embeddings so. What they read, with the numbers that lmcli computes with, is written by

```sh
lmcli quantize --restore CHECKPOINT -o NAME
```
"""


def restore(checkpoint: Checkpoint, folder: Path, report: Callable[[Event], None]) -> None:
    """Write `checkpoint`, which is quantized as ours are, into `folder` as any program reads it; see
    lmcli.engine.restore."""
    config = read_config(checkpoint.path)
    try:
        bits = read_quantization(config, embeddings=True)
    except NotUnderstood as error:
        raise UsageError(f"{checkpoint.name} cannot be restored: it is {error}", "use it as it is") from error
    if bits is None:
        raise UsageError(f"{checkpoint.name} is not quantized", "use it as it is")
    dtype = DTYPES.get(str(config.get("dtype") or config.get("torch_dtype")), torch.float32)
    pieces = [
        kept(name, weight) if scale is None
        else Piece({name: _plain(weight, dtype)}, partial(_restored, name, weight, scale, dtype))
        for name, (weight, scale) in scaled(read_weights(checkpoint.path)).items()
    ]  # fmt: skip
    plain = without_quantization(config)
    rebuild(checkpoint, folder, plain, pieces, report, lambda card: card.removesuffix(f"\n{CARD_NOTE}"))


@contextmanager
def readable(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    """The checkpoint as transformers reads it: where it is quantized as ours are, one of plain weights in a folder that
    is there meanwhile."""
    try:
        ours = read_quantization(read_config(checkpoint.path), embeddings=True) is not None
    except NotUnderstood:  # It is quantized by a library that transformers knows.
        ours = False
    if not ours:
        yield checkpoint
        return
    with TemporaryDirectory(prefix="lmcli-") as folder:
        restore(checkpoint, Path(folder) / "plain", lambda event: None)
        yield replace(checkpoint, path=Path(folder) / "plain")


def _restored(name: str, weight: Tensor, scale: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: dequantize(weight, scale, dtype)}


def _plain(stored: Tensor, dtype: torch.dtype) -> TensorInfo:
    """What a weight in 8 bits, or in 4 that are packed, is in `dtype`."""
    N, K = stored.shape
    K *= 8 if stored.dtype is torch.int32 else 1
    return TensorInfo(SAFETENSORS_NAMES[dtype], (N, K), N * K * dtype.itemsize)
