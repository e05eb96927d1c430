"""llama.cpp, through the C functions that the module llama_cpp binds."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from typing import Any

import llama_cpp as c
import numpy as np

from lmcli.bench.sides import Facts

_BATCH = 2048  # tokens of one call at most, llama.cpp's default


def load(
    gguf: str,
    kind: str,
    bytes_per_weight: float,
    context: int,
    threads: int,
    device: str,
    repack: bool = True,
    **_: Any,
) -> LlamaCpp:
    """The model in the file `gguf`, with room for `context` tokens; on a GPU whole where `device` is not the CPU.

    `repack` False leaves quantized weights as they are in the file, instead of in a layout for this CPU.
    """
    c.llama_log_set(_log, ctypes.c_void_p(0))
    c.llama_backend_init()
    params = c.llama_model_default_params()
    params.n_gpu_layers = 0 if device == "cpu" else 999
    params.use_extra_bufts = repack
    model = c.llama_model_load_from_file(gguf.encode(), params)
    if not model:
        raise RuntimeError(f"llama.cpp cannot load {gguf}")
    side = LlamaCpp(model, kind if repack else f"{kind}, not repacked", bytes_per_weight, context, threads)
    # A layout that this CPU cannot work with crashes here, with several tokens or with one, and not while measuring.
    side.feed([0] * min(context - 1, 32))
    side.feed([0])
    return side


@c.llama_log_callback
def _log(level: int, text: bytes, _: Any) -> None:
    """Warnings and errors alone: 3 is a warning, 5 goes on with the line before."""
    if 3 <= level <= 4:
        os.write(2, text)


class LlamaCpp:
    """Side over llama_decode; every parameter that is not named here is llama.cpp's default."""

    def __init__(self, model: Any, kind: str, bytes_per_weight: float, context: int, threads: int) -> None:
        self._model, self._threads = model, threads
        self._vocab_size = c.llama_vocab_n_tokens(c.llama_model_get_vocab(model))
        self._context = self._open(context, 1)
        self.facts = Facts(
            version=c.__version__,
            precision=kind,
            bytes_per_weight=bytes_per_weight,
            bytes_per_cached=2.0,  # fp16, its default
            prefill_dtype={"f32": "float32", "f16": "float16", "bf16": "bfloat16"}.get(kind),
            context_length=c.llama_model_n_ctx_train(model),
        )

    def reset(self) -> None:
        c.llama_memory_clear(c.llama_get_memory(self._context), True)

    def feed(self, tokens: Sequence[int]) -> int:
        for first in range(0, len(tokens), _BATCH):
            block = tokens[first : first + _BATCH]
            held = (c.llama_token * len(block))(*block)
            _check(c.llama_decode(self._context, c.llama_batch_get_one(held, len(block))))
        return int(self._row(self._context, -1).argmax())

    def answer(self, prompt: Sequence[int], tokens: int) -> int:
        token = self.feed(prompt)
        for _ in range(tokens - 1):
            token = self.feed([token])
        return tokens - 1

    def logits(self, ids: Sequence[int]) -> list[float]:
        chosen: list[float] = self._row(self._context, -1)[list(ids)].tolist()
        return chosen

    def batch(self, prompts: Sequence[Sequence[int]], steps: int) -> float:
        B, T = len(prompts), len(prompts[0])
        context, batch = self._open(B * (T + steps + 1), B), c.llama_batch_init(B * T, 0, 1)
        try:
            tokens = self._step(context, batch, prompts, 0)
            start = time.perf_counter()
            for step in range(steps):
                tokens = self._step(context, batch, [[token] for token in tokens], T + step)
            return time.perf_counter() - start
        finally:
            c.llama_batch_free(batch)
            c.llama_free(context)

    def _step(self, context: Any, batch: Any, rows: Sequence[Sequence[int]], position: int) -> list[int]:
        """Feed tokens (B, T) from `position` on; the likeliest next of each row."""
        batch.n_tokens = 0
        for sequence, row in enumerate(rows):
            for offset, token in enumerate(row):
                i = batch.n_tokens
                batch.token[i], batch.pos[i] = token, position + offset
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
                batch.logits[i] = offset == len(row) - 1
                batch.n_tokens += 1
        _check(c.llama_decode(context, batch))
        T = len(rows[0])
        return [int(self._row(context, sequence * T + T - 1).argmax()) for sequence in range(len(rows))]

    def _open(self, context: int, sequences: int) -> Any:
        params = c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_seq_max = context, _BATCH, sequences
        params.n_threads = params.n_threads_batch = self._threads
        params.kv_unified = True  # one cache for all sequences, instead of an equal share for each
        opened = c.llama_init_from_model(self._model, params)
        if not opened:
            raise RuntimeError("llama.cpp cannot make a context")
        return opened

    def _row(self, context: Any, i: int) -> np.ndarray:
        """The logits (V,) of the batch's token `i`."""
        pointer = c.llama_get_logits_ith(context, i)
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (self._vocab_size,))


def _check(code: int) -> None:
    if code != 0:
        raise RuntimeError(f"llama_decode answers {code}")
