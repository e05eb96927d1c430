"""The engine: `load` is the door to torch and transformers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from lmcli.engine.agreement import Agreement
    from lmcli.engine.comparison import Comparison
    from lmcli.explanations import AttentionMaps, AttentionWish
    from lmcli.protocols import Engine
    from lmcli.types import Checkpoint, Event, Grammar, LoadOptions


def load(
    checkpoint: Checkpoint, options: LoadOptions | None = None, report: Callable[[Event], None] = lambda event: None
) -> Engine:
    """The engine for `checkpoint`: our own where its config is fully understood, else transformers'.

    `report` is told, as verbose Notices, what `auto` chose and why our engine was passed over, and as Timings how long
    it took. Raises UsageError for a device this machine lacks, CheckpointError for weights that do not fit their
    config, OutOfMemory.
    """
    _ready()
    from lmcli.engine.start_up import process_age, read_ahead
    from lmcli.types import LoadOptions, Timing

    report(Timing("start Python and lmcli", process_age()))
    entered = time.time()
    read_ahead(checkpoint)
    from lmcli.engine.loading import load_engine

    imported = time.time()
    report(Timing("import torch", imported - entered))
    engine = load_engine(checkpoint, options or LoadOptions(), report)
    report(Timing(f"open {checkpoint.name}", time.time() - imported))
    return engine


def begin() -> None:
    """Import torch in another thread: nine tenths of any `load`, while the checkpoint for it is still being chosen.

    To tell the language of a text takes half a second, most of it outside Python's lock.
    """
    _ready()
    threading.Thread(target=_import_torch, name="torch", daemon=True).start()


def quantize(checkpoint: Checkpoint, folder: Path, bits: int, report: Callable[[Event], None]) -> None:
    """Write into `folder` the `checkpoint` with its linear layers in `bits` (8, or 4 of a decoder).

    A decoder's embeddings, head and norms stay as they are; of any other checkpoint the embeddings have 8 bits, too. A
    folder that is there is replaced once the new one is whole. Raises UsageError for what our engines do not run or is
    quantized already, LmcliError where the disk is full.
    """
    _ready()
    from lmcli.engine import quantizing

    quantizing.quantize(checkpoint, folder, bits, report)


def restore(checkpoint: Checkpoint, folder: Path, report: Callable[[Event], None]) -> None:
    """Write into `folder` the `checkpoint`, which `quantize` made, with the numbers its 8 or 4 bits stand for.

    They get the dtype that they had before. Raises UsageError for what is not quantized, or by others.
    """
    _ready()
    from lmcli.engine import restoring

    restoring.restore(checkpoint, folder, report)


def merge(
    sources: Sequence[Checkpoint], shares: Sequence[float], folder: Path, report: Callable[[Event], None]
) -> float:
    """Write into `folder` the mean of the `sources`' weights by their `shares`, which add up to 1, and return the least
    cosine between the first's and another's.

    All else comes of the first. A folder that is there is replaced once the new one is whole. Raises UsageError for
    checkpoints of different shapes, vocabularies or labels, or in 8 bits or 4, LmcliError where the disk is full.
    """
    _ready()
    from lmcli.engine import merging

    return merging.merge(sources, shares, folder, report)


def compare(
    before: Checkpoint, after: Checkpoint, text: str, options: LoadOptions, report: Callable[[Event], None]
) -> Comparison | Agreement:
    """How far two checkpoints of one kind and vocabulary are apart on `text`; see comparison.compare, of decoders, and
    agreement.agree."""
    _ready()
    if before.kind != "causal":
        from lmcli.engine.agreement import agree

        return agree(before, after, text, options, report)
    from lmcli.engine import comparison

    return comparison.compare(before, after, text, options, report)


def read_attention(
    checkpoint: Checkpoint, text: str, wish: AttentionWish, options: LoadOptions, report: Callable[[Event], None]
) -> AttentionMaps:
    """Where a checkpoint of any kind looks when it reads `text`; see attention_maps.read_attention."""
    _ready()
    from lmcli.engine.offline import stay_offline

    stay_offline()
    from lmcli.engine import attention_maps

    return attention_maps.read_attention(checkpoint, text, wish, options, report)


def check_grammar(grammar: Grammar) -> None:
    """Raises UsageError for what no answer can be made to follow, or where the library for it is missing."""
    from lmcli.engine.grammar import check

    check(grammar)


def _import_torch() -> None:
    with suppress(Exception):  # Whoever needs it meets the error again, and tells it.
        import_module("torch")


def _ready() -> None:
    # Threads that wait for each other spin only briefly, then sleep: on a busy machine, in a pipe of two lmcli's say,
    # libgomp's default makes a token take ten times as long. It is read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Libraries that unpack quantized weights draw bars, in pipes too. tqdm reads this, and torch imports tqdm.
    os.environ.setdefault("TQDM_DISABLE", "1")
