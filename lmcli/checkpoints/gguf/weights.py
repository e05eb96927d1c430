"""From a GGUF file's tensors to model.safetensors, one tensor in memory at a time."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lmcli.checkpoints.gguf.file import GGUF, Tensor, load
from lmcli.errors import CheckpointError
from lmcli.types import Event, Progress

_DTYPES = {"bfloat16": ("BF16", 2), "float16": ("F16", 2), "float32": ("F32", 4)}
TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
_BLOCK = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")
_ROPE = "rope_freqs.weight"  # becomes config.json's rope_parameters


def dtype_of(gguf: GGUF) -> str:
    """One dtype for the whole file: bfloat16 where a matrix is quantized or bfloat16, else the file's own."""
    kinds = {tensor.quantization for tensor in gguf.tensors.values() if len(tensor.shape) > 1}
    if kinds <= {"F32"}:
        return "float32"
    return "float16" if kinds <= {"F32", "F16"} else "bfloat16"


def frequencies(gguf: GGUF) -> np.ndarray | None:
    """The factors (head_dim / 2) by which the file slows each rope frequency, or None."""
    if _ROPE not in gguf.tensors:
        return None
    return load(gguf, gguf.tensors[_ROPE], np.memmap(gguf.path, np.uint8, "r"))


def write(gguf: GGUF, path: Path, dtype: str, report: Callable[[Event], None]) -> None:
    """Write every tensor to `path` under its name in transformers. Raises CheckpointError for an unknown
    one."""
    names = {name: rename(gguf, name) for name in gguf.tensors if name != _ROPE}
    heads = gguf.get("{arch}.attention.head_count")
    key_heads = gguf.get("{arch}.attention.head_count_kv", heads)
    memory = np.memmap(gguf.path, np.uint8, "r")
    with path.open("wb") as file:
        file.write(_header(gguf, names, dtype))
        for done, name in enumerate(names, 1):
            values = load(gguf, gguf.tensors[name], memory)
            if gguf.architecture == "llama" and re.search(r"attn_[qk]\.", name):
                values = unpermute(values, heads if "attn_q" in name else key_heads)
            file.write(np.ascontiguousarray(cast(values, dtype)).tobytes())
            report(Progress(done, len(names), "tensors"))


def rename(gguf: GGUF, name: str) -> str:
    """The tensor's name in transformers."""
    block = _BLOCK.fullmatch(name)
    if block and block[2] in LAYER:
        return f"model.layers.{block[1]}.{LAYER[block[2]]}.{block[3]}"
    if name in TOP:
        return TOP[name]
    raise CheckpointError(
        f"{gguf.path}: no place is known for the tensor '{name}' of {gguf.architecture}",
        "use the checkpoint's safetensors: lmcli pull ORG/NAME",
    )


def unpermute(values: np.ndarray, heads: int) -> np.ndarray:
    """Undo llama.cpp's order of a projection's rows, (H * D, …): pairs (2i, 2i+1) become halves (i, i +
    D/2)."""
    rows, rest = values.shape[0], values.shape[1:]
    return values.reshape(heads, rows // heads // 2, 2, *rest).swapaxes(1, 2).reshape(rows, *rest)


def cast(values: np.ndarray, dtype: str) -> np.ndarray:
    """float32 to `dtype`; bfloat16, which numpy lacks, as its bits in uint16, rounded to nearest even."""
    if dtype == "float32":
        return values
    if dtype == "float16":
        return values.astype(np.float16)
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _header(gguf: GGUF, names: dict[str, str], dtype: str) -> bytes:
    kind, size = _DTYPES[dtype]
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, new in names.items():
        tensor: Tensor = gguf.tensors[name]
        count = int(np.prod(tensor.shape)) * size
        header[new] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [offset, offset + count]}
        offset += count
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
