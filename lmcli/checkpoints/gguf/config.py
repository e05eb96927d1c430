"""From a GGUF file's metadata to config.json and generation_config.json, in the words of transformers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lmcli.checkpoints.gguf.file import GGUF
from lmcli.errors import CheckpointError

ARCHITECTURES = {
    "llama": ("llama", "LlamaForCausalLM"),
    "qwen2": ("qwen2", "Qwen2ForCausalLM"),
    "qwen3": ("qwen3", "Qwen3ForCausalLM"),
}
# Tokens that end a turn or a text, in every vocabulary that has them: a chat must stop at each of them.
_ENDS = (
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>", "<|end_of_turn|>",
    "<end_of_turn>", "<|end|>", "</s>", "<EOT>", "<|EOT|>",
)  # fmt: skip
CONTROL = 3  # a value of tokenizer.ggml.token_type
# Llama 3's way to stretch its context. A GGUF file holds the resulting factors alone; these are the model's
# own.
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def config(gguf: GGUF, frequencies: np.ndarray | None, dtype: str) -> dict[str, Any]:
    """config.json's fields. `frequencies` (head_dim / 2) are the factors of `rope_freqs.weight`, where there
    is one.

    Raises CheckpointError for an architecture or a kind of rope scaling that is not known.
    """
    known = ARCHITECTURES.get(gguf.architecture)
    if known is None or gguf.get("{arch}.expert_count", 0):
        kind = "mixture of experts" if known else f"architecture '{gguf.architecture}'"
        raise CheckpointError(
            f"{gguf.path}: a GGUF file of {kind} cannot be converted",
            f"known are {', '.join(ARCHITECTURES)}; or use the checkpoint's safetensors: lmcli pull ORG/NAME",
        )
    model_type, class_name = known
    embedding = gguf.tensors.get("token_embd.weight")
    if embedding is None:
        raise CheckpointError(f"{gguf.path}: the tensor 'token_embd.weight' is missing", "use another file")
    heads = _need(gguf, "{arch}.attention.head_count")
    rope = _rope(gguf, frequencies)
    fields = {
        "architectures": [class_name],
        "model_type": model_type,
        "dtype": dtype,
        "vocab_size": embedding.shape[0],
        "hidden_size": _need(gguf, "{arch}.embedding_length"),
        "intermediate_size": _need(gguf, "{arch}.feed_forward_length"),
        "num_hidden_layers": _need(gguf, "{arch}.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": gguf.get("{arch}.attention.head_count_kv", heads),
        "head_dim": gguf.get("{arch}.attention.key_length", _need(gguf, "{arch}.embedding_length") // heads),
        "hidden_act": "silu",
        "max_position_embeddings": gguf.get("{arch}.context_length", 2048),
        "rms_norm_eps": _decimal(gguf.get("{arch}.attention.layer_norm_rms_epsilon", 1e-6)),
        "rope_theta": rope["rope_theta"],
        "rope_parameters": rope,
        "tie_word_embeddings": "output.weight" not in gguf.tensors,
        "attention_bias": "blk.0.attn_q.bias" in gguf.tensors,
        "bos_token_id": gguf.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": gguf.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": gguf.get("tokenizer.ggml.padding_token_id"),
    }
    if model_type == "llama":
        fields["mlp_bias"] = "blk.0.ffn_up.bias" in gguf.tensors
    return fields | _window(gguf)


def generation_config(gguf: GGUF) -> dict[str, Any]:
    """generation_config.json's fields: `eos_token_id` is every token that ends an answer."""
    ends = [gguf.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    tokens, types = gguf.get("tokenizer.ggml.tokens", []), gguf.get("tokenizer.ggml.token_type", [])
    controls = {token: i for i, (token, kind) in enumerate(zip(tokens, types, strict=False)) if kind == CONTROL}
    ends += [controls.get(token) for token in _ENDS]
    fields = {
        "bos_token_id": gguf.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": list(dict.fromkeys(i for i in ends if i is not None)),
        "pad_token_id": gguf.get("tokenizer.ggml.padding_token_id"),
    }
    return {name: value for name, value in fields.items() if value not in (None, [])}


def _window(gguf: GGUF) -> dict[str, Any]:
    window = gguf.get("{arch}.attention.sliding_window")
    if not window:
        return {}
    if gguf.architecture == "llama":  # Llama has no window; Mistral, otherwise the same, does.
        return {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": window}
    return {"use_sliding_window": True, "sliding_window": window, "max_window_layers": 0}


def _rope(gguf: GGUF, frequencies: np.ndarray | None) -> dict[str, Any]:
    rope: dict[str, Any] = {
        "rope_type": "default",
        "rope_theta": float(_decimal(gguf.get("{arch}.rope.freq_base", 10000.0))),
    }
    if frequencies is not None:
        return rope | _llama3(gguf, frequencies, rope["rope_theta"])
    kind = gguf.get("{arch}.rope.scaling.type", "none")
    factor = gguf.get("{arch}.rope.scaling.factor", 0.0)
    if kind == "none" or (not factor and kind == "linear"):
        return rope
    if kind == "linear":
        return rope | {"rope_type": "linear", "factor": _decimal(factor)}
    if kind == "yarn":
        original = gguf.get("{arch}.rope.scaling.original_context_length", gguf.get("{arch}.context_length"))
        return rope | {
            "rope_type": "yarn", "factor": _decimal(factor), "original_max_position_embeddings": original
        }  # fmt: skip
    raise _unknown_rope(gguf, kind)


def _llama3(gguf: GGUF, frequencies: np.ndarray, theta: float) -> dict[str, Any]:
    """The parameters whose factors are `frequencies`; formula of Llama 3.1's own `apply_scaling`."""
    factor = float(frequencies.max())
    low, high = _LLAMA3["low_freq_factor"], _LLAMA3["high_freq_factor"]
    original = _LLAMA3["original_max_position_embeddings"]
    wavelengths = 2 * math.pi * theta ** (np.arange(len(frequencies)) / len(frequencies))
    smooth = np.clip((original / wavelengths - low) / (high - low), 0, 1)
    expected = 1 / ((1 - smooth) / factor + smooth)
    if not np.allclose(expected, frequencies, rtol=1e-3):
        raise _unknown_rope(gguf, "its own frequencies")
    return {"rope_type": "llama3", "factor": _decimal(factor), **_LLAMA3}


def _unknown_rope(gguf: GGUF, kind: str) -> CheckpointError:
    return CheckpointError(
        f"{gguf.path}: rope scaling by {kind} cannot be converted",
        "use the checkpoint's safetensors: lmcli pull ORG/NAME",
    )


def _need(gguf: GGUF, key: str) -> int:
    value = gguf.get(key)
    if not isinstance(value, int):
        name = key.replace("{arch}", gguf.architecture)
        found = "is missing" if value is None else "differs from layer to layer"
        raise CheckpointError(f"{gguf.path}: '{name}' {found}", "use another file")
    return value


def _decimal(value: float) -> float:
    """The short number that was meant: a GGUF file holds float32, where 1e-5 reads 9.999999747378752e-06."""
    return float(str(np.float32(value)))
