"""A decoder's dimensions, read from config.json so that nothing in it is overlooked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
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

    `kind` is default, linear, llama3, yarn or longrope, `scaling` its parameters as the config names them, and
    `fraction` how much of each head is rotated.
    """

    theta: float
    kind: str = "default"
    scaling: dict[str, Any] = field(default_factory=dict, hash=False)
    fraction: float = 1.0


@dataclass(frozen=True)
class DecoderConfig:
    """Dimensions of a decoder.

    `sliding_windows` and `ropes` hold one entry a layer: None where attention is full, and where nothing is rotated.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    context_length: int
    norm_eps: float
    tie_embeddings: bool
    sliding_windows: tuple[int | None, ...]
    ropes: tuple[RopeConfig | None, ...]
    attention_bias: bool = False  # of q, k and v
    output_bias: bool = False  # of the attention's output
    mlp_bias: bool = False
    qk_norm: bool = False
    activation: str = "silu"  # or gelu_pytorch_tanh
    attention_scale: float | None = None  # of queries times keys; None is 1/√head_dim


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


def read_dimensions(
    fields: ConfigFields,
    rope: RopeConfig | None = None,
    tied: bool = False,
    norm_eps: float = 1e-6,
    activations: Sequence[str] = ("silu", "swish"),
) -> dict[str, Any]:
    """The fields of DecoderConfig that every family of ours spells alike.

    What a family has of its own: `rope`, where it is spelled in another way; whether embeddings are `tied` and the
    norms' epsilon where the config does not say; and which `activations` it understands.
    """
    fields.expect("hidden_act", *activations)
    fields.expect("rope_interleaved", False)
    heads = fields.need("num_attention_heads")
    hidden = fields.need("hidden_size")
    num_layers = fields.need("num_hidden_layers")
    return {
        "model_type": fields.get("model_type"),
        "vocab_size": fields.need("vocab_size"),
        "hidden_size": hidden,
        "intermediate_size": fields.need("intermediate_size"),
        "num_layers": num_layers,
        "num_heads": heads,
        "num_kv_heads": fields.get("num_key_value_heads", heads),
        "head_dim": fields.get("head_dim", hidden // heads),
        "context_length": fields.get("max_position_embeddings", 2048),
        "norm_eps": fields.get("rms_norm_eps", norm_eps),
        "tie_embeddings": fields.get("tie_word_embeddings", tied),
        "sliding_windows": (None,) * num_layers,
        "ropes": (rope or read_rope(fields),) * num_layers,
    }


def read_layer_windows(fields: ConfigFields, num_layers: int) -> tuple[int | None, ...]:
    """Qwen's sliding windows: on the layers `layer_types` names, else from `max_window_layers` on."""
    window = fields.get("sliding_window", 4096) if fields.get("use_sliding_window", False) else None
    first = fields.get("max_window_layers", 28)
    sliding = read_sliding_layers(fields, [i >= first for i in range(num_layers)])
    return tuple(window if slides else None for slides in sliding)


def read_sliding_layers(fields: ConfigFields, by_default: Sequence[bool]) -> list[bool]:
    """Which layers `layer_types` gives a sliding window; those of `by_default` where it is absent."""
    kinds = fields.get("layer_types", ["sliding_attention" if slides else "full_attention" for slides in by_default])
    if set(kinds) - {"sliding_attention", "full_attention"} or len(kinds) != len(by_default):
        raise NotUnderstood(f"layer_types={kinds!r}")
    return [kind == "sliding_attention" for kind in kinds]


def read_rope(fields: ConfigFields, theta: float = 10000.0) -> RopeConfig:
    """Rope as `rope_parameters` says (transformers 5), or `rope_theta` and `rope_scaling` (earlier ones)."""
    theta = fields.get("rope_theta", theta)
    scaling = dict(fields.get("rope_scaling") or fields.get("rope_parameters") or {})
    fields.get("rope_parameters")
    if rope_kind(scaling) == "yarn":
        scaling.setdefault("original_max_position_embeddings", fields.get("max_position_embeddings"))
    return rope_of(scaling, theta)


def rope_kind(parameters: dict[str, Any]) -> str:
    return str(parameters.get("rope_type") or parameters.get("type") or "default")


def rope_of(parameters: dict[str, Any], theta: float) -> RopeConfig:
    """The rope of one table of `parameters`; `theta` where it has none. Raises NotUnderstood for a key unknown."""
    kind, theta = rope_kind(parameters), parameters.get("rope_theta", theta)
    scaling = {name: value for name, value in parameters.items() if name not in ("rope_theta", "rope_type", "type")}
    if kind not in _ROPE_KEYS:
        raise NotUnderstood(f"rope_type={kind!r}")
    if scaling.pop("partial_rotary_factor", 1.0) != 1.0:
        raise NotUnderstood("partial_rotary_factor")
    needed, known = _ROPE_KEYS[kind]
    given = {name for name, value in scaling.items() if value is not None}
    if needed - given or given - needed - known:
        raise NotUnderstood(f"rope_type={kind!r} with {sorted(given ^ needed)}")
    return RopeConfig(float(theta), kind, scaling)
