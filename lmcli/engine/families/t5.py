"""T5 (Raffel et al. 2019, arXiv:1910.10683), T5 1.1 and Flan-T5: RMS norms, no biases, a bias by distance in place of
positions."""

from __future__ import annotations

from typing import Any

from lmcli.engine.config import NotUnderstood
from lmcli.engine.seq2seq_config import UNBOUNDED, EncoderDecoderConfig, Seq2SeqFields, StackConfig, read_activation

# T5 numbers the parts of a layer; the feed-forward one is the last.
_NAMES = (
    (r"\.block\.", ".layers."),
    (r"layer\.0\.SelfAttention\.relative_attention_bias", "relative_attention_bias"),
    (r"layers\.0\.relative_attention_bias", "relative_bias"),
    (r"layer\.0\.SelfAttention\.(\w)\.", r"self_attn.\1_proj."),
    (r"layer\.1\.EncDecAttention\.(\w)\.", r"encoder_attn.\1_proj."),
    (r"\.o_proj\.", ".out_proj."),
    (r"layer\.\d\.DenseReluDense\.wo\.", "fc2."),
    (r"layer\.\d\.DenseReluDense\.wi_0\.", "gate."),
    (r"layer\.\d\.DenseReluDense\.wi(_1)?\.", "fc1."),
    (r"layer\.0\.layer_norm", "self_attn_layer_norm"),
    (r"(decoder\.layers\.\d+)\.layer\.1\.layer_norm", r"\1.encoder_attn_layer_norm"),
    (r"(layers\.\d+)\.layer\.[12]\.layer_norm", r"\1.final_layer_norm"),
    (r"coder\.final_layer_norm", "coder.layer_norm"),
)


def read_seq2seq(config: dict[str, Any]) -> EncoderDecoderConfig:
    fields = Seq2SeqFields(config)
    hidden, layers = fields.need("d_model"), fields.need("num_layers")
    heads, inner = fields.need("num_heads"), fields.need("d_ff")
    gated, activation = _feed_forward(fields)
    # T5 1.1 has a head of its own, and only one that is the embedding is scaled.
    tied = fields.get("tie_word_embeddings", True)
    scaled = fields.get("scale_decoder_outputs", tied)
    dimensions = {
        "vocab_size": fields.need("vocab_size"),
        "head_dim": fields.need("d_kv"),
        "context_length": fields.get("n_positions", UNBOUNDED),
        "relative_buckets": fields.get("relative_attention_num_buckets", 32),
        "relative_distance": fields.get("relative_attention_max_distance", 128),
        "norm_eps": fields.get("layer_norm_epsilon", 1e-6),
    }
    decoder_layers = fields.get("num_decoder_layers", layers)
    fields.finish()
    return EncoderDecoderConfig(
        **dimensions, hidden_size=hidden, encoder=StackConfig(layers, heads, inner),
        decoder=StackConfig(decoder_layers, heads, inner), activation=activation, gated=gated, positions="relative",
        pad_token_id=fields.pad_token_id, pre_norm=True, rms_norm=True, bias=False, attention_scale=1.0, names=_NAMES,
        logits_scale=hidden**-0.5 if scaled else 1.0,
    )  # fmt: skip


def _feed_forward(fields: Seq2SeqFields) -> tuple[bool, str]:
    """Whether a gate multiplies the inner layer, and its activation."""
    gate, _, name = str(fields.get("feed_forward_proj", "relu")).rpartition("-")
    if gate not in ("", "gated"):
        raise NotUnderstood(f"feed_forward_proj={gate}-{name}")
    name = "gelu_new" if gate and name == "gelu" else name
    fields.expect("is_gated_act", bool(gate))
    fields.expect("dense_act_fn", name)
    return bool(gate), read_activation(name)
