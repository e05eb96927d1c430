"""An encoder-decoder's dimensions, read from config.json so that nothing in it is overlooked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lmcli.engine.config import ConfigFields, NotUnderstood
from lmcli.engine.generation_settings import SETTINGS
from lmcli.engine.projection import ACTIVATIONS

UNBOUNDED = 10**9  # tokens of context where distances take the place of positions
Positions = Literal["sinusoidal", "fairseq", "learned", "relative"]

# Keys of training, of other programs, or of earlier versions of transformers, which no longer reads them.
_IRRELEVANT = {
    "activation_dropout", "classif_dropout", "classifier_dropout", "dropout", "dropout_rate", "encoder_layerdrop",
    "decoder_layerdrop", "extra_pos_embeddings", "gradient_checkpointing", "init_std", "initializer_factor",
    "num_hidden_layers", "output_past", "prefix", "save_step", "static_position_embeddings", "student_decoder_layers",
    "force_bos_token_to_be_generated", "replacing_rate", "student_encoder_layers", "tokenizer_class",
    "_num_labels", "num_labels",
}  # fmt: skip


@dataclass(frozen=True)
class StackConfig:
    """Dimensions of the encoder or of the decoder."""

    num_layers: int
    num_heads: int
    intermediate_size: int


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """Dimensions of an encoder-decoder (Vaswani et al. 2017, arXiv:1706.03762) and how its family varies it.

    With `pre_norm` a layer normalizes what it reads and the stack its end, else every layer what it writes. The first
    position in the table of positions is `position_offset`. T5 has biases by distance in place of positions, in
    `relative_buckets` up to `relative_distance`. `names` are the expressions, and what stands for them with us, that
    turn the names of a checkpoint's weights into BART's.
    """

    vocab_size: int
    hidden_size: int
    head_dim: int
    context_length: int
    encoder: StackConfig
    decoder: StackConfig
    activation: str
    positions: Positions
    pad_token_id: int
    position_offset: int = 0
    pre_norm: bool = False
    embedding_norm: bool = False
    rms_norm: bool = False
    norm_eps: float = 1e-5
    bias: bool = True
    gated: bool = False
    logits_bias: bool = False
    embed_scale: float = 1.0
    attention_scale: float | None = None  # None is 1 / sqrt(head_dim)
    logits_scale: float = 1.0
    relative_buckets: int = 0
    relative_distance: int = 0
    names: tuple[tuple[str, str], ...] = ()


class Seq2SeqFields(ConfigFields):
    """config.json of an encoder-decoder. Raises NotUnderstood where it is only half of one."""

    def __init__(self, config: dict[str, Any]) -> None:
        # Generation settings are read where generation is; a bare False or 0 of another field may well mean something.
        super().__init__({k: v for k, v in config.items() if k not in SETTINGS and k not in _IRRELEVANT})
        if not isinstance(config.get("pad_token_id"), int):
            raise NotUnderstood("a config without pad_token_id")
        self.pad_token_id: int = config["pad_token_id"]
        self.expect("is_encoder_decoder", True)
        self.expect("is_decoder", False)
        self.expect("add_cross_attention", False)


def read_bart_dimensions(fields: Seq2SeqFields) -> dict[str, Any]:
    """The fields of EncoderDecoderConfig that BART and its descendants spell alike."""
    hidden, heads = fields.need("d_model"), fields.need("encoder_attention_heads")
    fields.expect("decoder_attention_heads", heads)
    fields.expect("tie_word_embeddings", True)
    fields.expect("share_encoder_decoder_embeddings", True)
    fields.expect("decoder_vocab_size", fields.need("vocab_size"))
    fields.expect("add_bias_logits", False)
    if hidden % heads:
        raise NotUnderstood(f"d_model={hidden} in {heads} heads")
    return {
        "vocab_size": fields.need("vocab_size"),
        "hidden_size": hidden,
        "head_dim": hidden // heads,
        "context_length": fields.get("max_position_embeddings", 1024),
        "encoder": StackConfig(fields.need("encoder_layers"), heads, fields.need("encoder_ffn_dim")),
        "decoder": StackConfig(fields.need("decoder_layers"), heads, fields.need("decoder_ffn_dim")),
        "activation": read_activation(fields.get("activation_function", "gelu")),
        "embed_scale": hidden**0.5 if fields.get("scale_embedding", False) else 1.0,
    }


def read_bart_norms(fields: Seq2SeqFields, pre_norm: bool = False, embedding_norm: bool = False) -> dict[str, bool]:
    """Where a descendant of BART normalizes, as fields of EncoderDecoderConfig. Raises NotUnderstood.

    Earlier versions of transformers wrote it down; a family has no other form any more.
    """
    fields.expect("normalize_before", pre_norm)
    fields.expect("add_final_layer_norm", pre_norm)
    fields.expect("normalize_embedding", embedding_norm)
    return {"pre_norm": pre_norm, "embedding_norm": embedding_norm}


def read_activation(name: str) -> str:
    """An activation as transformers names it. Raises NotUnderstood."""
    if name not in ACTIVATIONS:
        raise NotUnderstood(f"the activation {name!r}")
    return name
