"""A decoder's dimensions, read from config.json so that nothing in it is overlooked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

# Keys that say nothing about what the decoder computes at inference.
_IRRELEVANT = {
    "_name_or_path", "architectures", "attention_dropout", "bos_token_id", "dtype", "eos_token_id", "id2label",
    "initializer_range", "label2id", "model_type", "pad_token_id", "pretraining_tp", "torch_dtype",
    "transformers.js_config", "transformers_version", "use_cache", "is_llama_config", "unsloth_fixed",
    "max_window_layers", "keys_to_ignore_at_inference", "task_specific_params", "unsloth_version",
    "_attn_implementation_autoset",
}  # fmt: skip


# Keys of what a decoder may have and ours has not: harmless where they are switched off.
_SWITCHES = {
    "attention_bias", "mlp_bias", "use_sliding_window", "use_qk_norm", "qk_layernorm", "hidden_dropout", "resid_pdrop",
    "embd_pdrop", "classifier_dropout", "output_attentions", "output_hidden_states", "output_router_logits",
}  # fmt: skip
# What each way of stretching rope must say, and what it may.
_ROPE_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "default": (set(), {"original_max_position_embeddings"}),
    "linear": ({"factor"}, {"original_max_position_embeddings"}),
    "llama3": ({"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}, set()),
    "yarn": (
        {"factor", "original_max_position_embeddings"},
        {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"},
    ),
}


class NotUnderstood(Exception):
    """This config asks for something our decoder does not compute; transformers' does."""


@dataclass(frozen=True)
class RopeConfig:
    """Rotary position embedding (Su et al. 2021, arXiv:2104.09864) and how it is stretched to longer contexts.

    `kind` is default, linear, llama3 or yarn; `scaling` its parameters as the config names them.
    """

    theta: float
    kind: str
    scaling: dict[str, Any]


@dataclass(frozen=True)
class DecoderConfig:
    """Dimensions of a decoder; `sliding_windows` holds one entry a layer, None where attention is full."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    context_length: int
    norm_eps: float
    rope: RopeConfig
    tie_embeddings: bool
    sliding_windows: tuple[int | None, ...]
    attention_bias: bool = False  # of q, k and v
    output_bias: bool = False  # of the attention's output
    mlp_bias: bool = False
    qk_norm: bool = False


class ConfigFields:
    """config.json as a family reads it; what it leaves unread is what we do not understand."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self._read.add(name)
        value = self._config.get(name)
        return default if value is None else value

    def need(self, name: str) -> int:
        """A dimension. Raises NotUnderstood where it is missing or no number."""
        value = self.get(name)
        if not isinstance(value, int):
            raise NotUnderstood(f"{name}={value!r}")
        return value

    def expect(self, name: str, *understood: Any) -> None:
        """Raise NotUnderstood where `name` has a value we do not compute; the first of `understood` is the default."""
        value = self.get(name, understood[0])
        if value not in understood:
            raise NotUnderstood(f"{name}={value!r}")

    def finish(self, irrelevant: Collection[str] = ()) -> None:
        """Raise NotUnderstood for any key left unread that could change the result; `irrelevant` ones could not."""
        for name, value in self._config.items():
            off = value in (None, {}, []) or (not value and name in _SWITCHES)
            if name not in self._read | _IRRELEVANT | set(irrelevant) and not off:
                raise NotUnderstood(f"{name}={value!r}")


def read_dimensions(fields: ConfigFields) -> dict[str, Any]:
    """The fields of DecoderConfig that every family of ours spells alike."""
    fields.expect("hidden_act", "silu", "swish")
    fields.expect("rope_interleaved", False)
    heads = fields.need("num_attention_heads")
    hidden = fields.need("hidden_size")
    num_layers = fields.need("num_hidden_layers")
    return {
        "vocab_size": fields.need("vocab_size"),
        "hidden_size": hidden,
        "intermediate_size": fields.need("intermediate_size"),
        "num_layers": num_layers,
        "num_heads": heads,
        "num_kv_heads": fields.get("num_key_value_heads", heads),
        "head_dim": fields.get("head_dim", hidden // heads),
        "context_length": fields.get("max_position_embeddings", 2048),
        "norm_eps": fields.get("rms_norm_eps", 1e-6),
        "rope": _read_rope(fields),
        "tie_embeddings": fields.get("tie_word_embeddings", False),
        "sliding_windows": (None,) * num_layers,
    }


def read_layer_windows(fields: ConfigFields, num_layers: int) -> tuple[int | None, ...]:
    """Qwen's sliding windows: on the layers `layer_types` names, else from `max_window_layers` on."""
    window = fields.get("sliding_window", 4096) if fields.get("use_sliding_window", False) else None
    first = fields.get("max_window_layers", 28)
    by_depth = ["sliding_attention" if i >= first else "full_attention" for i in range(num_layers)]
    kinds = fields.get("layer_types", by_depth)
    if set(kinds) - {"sliding_attention", "full_attention"} or len(kinds) != num_layers:
        raise NotUnderstood(f"layer_types={kinds!r}")
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)


def _read_rope(fields: ConfigFields) -> RopeConfig:
    # transformers 5 writes rope_parameters; earlier ones rope_theta beside an optional rope_scaling.
    theta = fields.get("rope_theta", 10000.0)
    scaling = dict(fields.get("rope_scaling") or fields.get("rope_parameters") or {})
    fields.get("rope_parameters")
    theta = scaling.pop("rope_theta", theta)
    kind = scaling.pop("rope_type", None) or scaling.pop("type", None) or "default"
    scaling.pop("type", None)
    if kind not in _ROPE_KEYS:
        raise NotUnderstood(f"rope_type={kind!r}")
    if scaling.pop("partial_rotary_factor", 1.0) != 1.0:
        raise NotUnderstood("partial_rotary_factor")
    if kind == "yarn":
        scaling.setdefault("original_max_position_embeddings", fields.get("max_position_embeddings"))
    needed, known = _ROPE_KEYS[kind]
    given = {name for name, value in scaling.items() if value is not None}
    if needed - given or given - needed - known:
        raise NotUnderstood(f"rope_type={kind!r} with {sorted(given ^ needed)}")
    return RopeConfig(float(theta), kind, scaling)
