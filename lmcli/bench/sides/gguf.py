"""Writes a checkpoint as a GGUF file, so that llama.cpp runs the very same weights. Token ids go in and out: it needs
no vocabulary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType
from torch import Tensor

from lmcli.checkpoints.checkpoint import read_config
from lmcli.checkpoints.gguf.weights import LAYER, TOP
from lmcli.engine import families
from lmcli.engine.config import DecoderConfig, NotUnderstood, RopeConfig
from lmcli.engine.rope import inverse_frequencies
from lmcli.engine.weights import read_weights
from lmcli.errors import UsageError

# model_type: what llama.cpp calls it
_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_OWN = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_PLAIN = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
_NAMES = {theirs: ours for ours, theirs in (LAYER | {k[:-7]: v[:-7] for k, v in TOP.items()}).items()}


def write(checkpoint: Mapping[str, Any], kind: str | None, folder: str) -> dict[str, Any]:
    """The file's path, its `kind` (the checkpoint's own precision where None was asked for) and the bytes that decode
    reads of each weight. Raises UsageError for what llama.cpp is not known to run as we do."""
    path = Path(checkpoint["path"])
    own = _OWN.get(checkpoint["dtype"], "bf16")
    kind = kind or own
    plain = Path(folder) / f"{kind if kind in _PLAIN else own}.gguf"
    if not plain.exists():
        _write(path, plain, kind if kind in _PLAIN else own)
    file = plain if kind in _PLAIN else _quantized(plain, kind)
    return {"gguf": str(file), "kind": kind, "bytes_per_weight": _bytes_per_weight(file)}


def _write(path: Path, file: Path, kind: str) -> None:
    config, architecture = _understood(path)
    writer = gguf.GGUFWriter(file, architecture)
    _write_config(writer, config)
    weights = read_weights(path)
    for name, weight in weights.items():
        if name.endswith("rotary_emb.inv_freq") or (config.tie_embeddings and _is_copy(name, weights)):
            continue
        if architecture == "llama" and (match := re.search(r"self_attn\.([qk])_proj", name)):
            weight = permute(weight, config.num_heads if match[1] == "q" else config.num_kv_heads)
        # llama.cpp adds and multiplies vectors in fp32.
        _add(writer, rename(name), weight, kind if weight.dim() > 1 else "f32")
    if _rope(config).kind == "llama3":
        _add(writer, "rope_freqs.weight", _slowing(config), "f32")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _understood(path: Path) -> tuple[DecoderConfig, str]:
    fields = read_config(path)
    architecture = _ARCHITECTURES.get(str(fields.get("model_type")))
    try:
        config = families.read_config(fields)
    except NotUnderstood as reason:
        raise _refused(str(reason)) from reason
    if architecture is None or any(config.sliding_windows):
        raise _refused(f"{fields.get('model_type')} with sliding windows" if architecture else fields["model_type"])
    if _rope(config).kind == "yarn" and set(_rope(config).scaling) - {"factor", "original_max_position_embeddings"}:
        raise _refused("yarn with parameters of its own")
    return config, architecture


def _write_config(writer: gguf.GGUFWriter, config: DecoderConfig) -> None:
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(_rope(config).theta)
    if _rope(config).kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(_rope(config).kind))
        writer.add_rope_scaling_factor(_rope(config).scaling["factor"])
    if _rope(config).kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(_rope(config).scaling["original_max_position_embeddings"])


def _rope(config: DecoderConfig) -> RopeConfig:
    """That of every layer, as it is in these architectures."""
    rope = config.ropes[0]
    assert rope is not None
    return rope


def rename(name: str) -> str:
    """The tensor's name in llama.cpp."""
    stem, _, end = name.rpartition(".")
    if match := re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem):
        return f"blk.{match[1]}.{_NAMES[match[2]]}.{end}"
    return f"{_NAMES[stem]}.{end}"


def permute(weight: Tensor, heads: int) -> Tensor:
    """llama.cpp's order of a projection's rows (H * D, …): halves (i, i + D/2) become pairs (2i, 2i+1)."""
    rows, rest = weight.shape[0], weight.shape[1:]
    return weight.reshape(heads, 2, rows // heads // 2, *rest).transpose(1, 2).reshape(rows, *rest)


def _is_copy(name: str, weights: Mapping[str, Tensor]) -> bool:
    """A tied head that the file holds all the same."""
    return name == "lm_head.weight" and torch.equal(weights[name], weights["model.embed_tokens.weight"])


def _add(writer: gguf.GGUFWriter, name: str, weight: Tensor, kind: str) -> None:
    values = weight.to(_PLAIN[kind]).contiguous()
    if kind == "bf16":  # which numpy lacks
        writer.add_tensor(name, values.view(torch.uint16).numpy(), raw_dtype=GGMLQuantizationType.BF16)
    else:
        writer.add_tensor(name, values.numpy())


def _slowing(config: DecoderConfig) -> Tensor:
    """The factors (D/2,) by which Llama 3 slows each frequency."""
    slowed, _ = inverse_frequencies(_rope(config), config.head_dim)
    exponents = torch.arange(0, config.head_dim, 2).float() / config.head_dim
    return 1.0 / _rope(config).theta ** exponents / slowed


def _quantized(plain: Path, kind: str) -> Path:
    """As llama.cpp's own quantize does it."""
    import llama_cpp as c  # what has to be installed for a quantized file alone

    file = plain.with_name(f"{kind}.gguf")
    params = c.llama_model_quantize_default_params()
    params.ftype = getattr(c, f"LLAMA_FTYPE_MOSTLY_{kind.upper()}")
    if c.llama_model_quantize(str(plain).encode(), str(file).encode(), params) != 0:
        raise _refused(f"{kind} of these dimensions")
    return file


def _bytes_per_weight(file: Path) -> float:
    tensors = gguf.GGUFReader(file).tensors
    untied = any(tensor.name == "output.weight" for tensor in tensors)
    # Of an embedding that is no head as well one row is read.
    read = [t for t in tensors if len(t.shape) > 1 and not (untied and t.name == "token_embd.weight")]
    return float(sum(int(t.n_bytes) for t in read) / sum(int(np.prod(t.shape)) for t in read))


def _refused(what: str) -> UsageError:
    return UsageError(f"no GGUF file can be written of {what}", "leave out --against llama.cpp")
