"""Placement: what fits where, several GPUs, and a word that names the way out where nothing does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from lmcli import engine
from lmcli.engine import device, memory, transformers_engine
from lmcli.engine.device import Placement, place
from lmcli.errors import OutOfMemory
from lmcli.types import Checkpoint, Event, LoadOptions, Notice

GB = 10**9


def on_gpus(patch: pytest.MonkeyPatch, *free_gb: float, picked: str = "cuda") -> None:
    """As many GPUs as there are figures, with so much memory free."""
    free = {torch.device("cuda", index): int(gb * GB) for index, gb in enumerate(free_gb)}
    free[torch.device("cuda")] = int(free_gb[0] * GB)
    patch.setattr(device, "pick_device", lambda _: torch.device(picked))
    patch.setattr(memory, "gpus", lambda: [torch.device("cuda", index) for index in range(len(free_gb))])
    patch.setattr(memory, "free_bytes", free.__getitem__)


def checkpoint(billions: float, dtype: str = "bfloat16", size_gb: float = 1) -> Checkpoint:
    made = tiny.checkpoint(Path("big"), dtype=dtype)
    return replace(made, num_parameters=int(billions * GB), size_bytes=int(size_gb * GB))


def placed(*arguments: Any, **options: Any) -> Placement:
    return place(checkpoint(*arguments), LoadOptions(**options), lambda event: None)


@pytest.mark.parametrize(
    ("free", "shared"),
    [((24,), False), ((24, 24), False), ((12, 12), True), ((8, 8, 8), True)],
)
def test_what_fits_one_gpu_is_not_shared_and_what_fits_all_together_is(
    free: Sequence[float], shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpus(monkeypatch, *free)
    assert placed(8).shared is shared  # 16 GB in half precision


@pytest.mark.parametrize("free", [(8,), (8, 9)])
def test_a_gpu_too_small_is_named_with_both_sizes_and_the_ways_out(
    free: Sequence[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpus(monkeypatch, *free)
    with pytest.raises(OutOfMemory, match=r"big needs 16\.0 GB for its weights, cuda has 8\.0 GB free") as raised:
        placed(8)
    assert "--device cpu" in str(raised.value.hint)
    assert "--bits 8" in str(raised.value.hint)


def test_a_gpu_that_was_named_is_not_helped_out_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpus(monkeypatch, 12, 12, picked="cuda:1")
    with pytest.raises(OutOfMemory, match="cuda:1 has 12"):
        placed(8)


def test_eight_bits_are_no_smaller_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpus(monkeypatch, 12)
    with pytest.raises(OutOfMemory, match=r"needs 16\.0 GB"):
        placed(8, bits=8)


def test_what_another_library_made_small_needs_what_its_files_take(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpus(monkeypatch, 12)
    assert not placed(8, "float8_e4m3fn", 9).shared


def test_a_decoder_too_large_for_one_gpu_is_loaded_into_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    load = transformers_engine._load

    def remember(*arguments: Any, **options: Any) -> Any:
        asked.append(options)
        return load(*arguments)

    monkeypatch.setattr(transformers_engine, "_load", remember)
    notices: list[Event] = []
    assert open_too_large(tmp_path, monkeypatch, notices) is not None
    assert asked == [{"device_map": "auto"}]
    assert any("share" in event.text and event.verbose for event in notices if isinstance(event, Notice))


def open_too_large(folder: Path, patch: pytest.MonkeyPatch, notices: list[Event]) -> Any:
    """Open a decoder that goes into two GPUs only."""
    tiny.save(folder, tiny.config("llama"))
    on_gpus(patch, 12, 12)
    large = replace(tiny.checkpoint(folder), num_parameters=8 * GB)
    return engine.load(large, LoadOptions(dtype="float16"), notices.append)
