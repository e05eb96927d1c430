"""A bidirectional encoder with a classification head: BERT, from which RoBERTa, DistilBERT and others differ in names.

x → words + positions → norm → N × [ norm(x + attention(x)), norm(x + mlp(x)) ] → the first token → head → logits.
Texts lie side by side in rows, without padding between them: see engine/rows.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from lmcli.engine.config import ConfigFields, NotUnderstood
from lmcli.engine.linear import Linear, empty
from lmcli.engine.projection import ACTIVATIONS, Projection
from lmcli.engine.rows import Rows

# Dropout and training, what older versions wrote for decoders, and heads of other tasks.
_IRRELEVANT = frozenset({
    "_num_labels", "adapters_config", "attention_dropout", "attention_probs_dropout_prob", "chunk_size_feed_forward",
    "classifier_dropout", "directionality", "do_sample", "dropout", "early_stopping", "eos_token_ids",
    "finetuning_task", "gradient_checkpointing", "hidden_dropout_prob", "language", "length_penalty", "max_length",
    "model_max_length", "name", "num_beams", "num_return_sequences", "output_past", "pooler_fc_size",
    "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type", "problem_type",
    "qa_dropout", "repetition_penalty", "return_dict", "seq_classif_dropout", "temperature", "tie_weights_",
    "tie_word_embeddings", "top_k", "top_p", "torchscript", "use_bfloat16",
})  # fmt: skip


@dataclass(frozen=True)
class EncoderConfig:
    """Dimensions of an encoder, its labels, and what the checkpoint calls its parts.

    `names` maps the module's own names to the file's, with {} for the number of a layer. `first_position` is that of
    a text's first token; `independent` says that several labels may hold at once.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_positions: int
    activation: str
    head_activation: str
    labels: tuple[str, ...]
    independent: bool
    names: Mapping[str, str]
    norm_eps: float = 1e-12
    num_token_types: int = 0
    first_position: int = 0

    @property
    def context_length(self) -> int:
        """Tokens of one text."""
        return self.num_positions - self.first_position


def read_encoder(fields: ConfigFields) -> dict[str, Any]:
    """The fields of EncoderConfig that BERT and RoBERTa spell alike; none may be left unread."""
    fields.expect("position_embedding_type", "absolute")
    fields.expect("is_decoder", False)
    fields.expect("add_cross_attention", False)
    return {
        "vocab_size": fields.need("vocab_size"),
        "hidden_size": fields.need("hidden_size"),
        "intermediate_size": fields.need("intermediate_size"),
        "num_layers": fields.need("num_hidden_layers"),
        "num_heads": fields.need("num_attention_heads"),
        "num_positions": fields.need("max_position_embeddings"),
        "num_token_types": fields.need("type_vocab_size"),
        "norm_eps": fields.get("layer_norm_eps", 1e-12),
        "activation": fields.get("hidden_act", "gelu"),
        **finish_classifier(fields),
    }


def finish_classifier(fields: ConfigFields) -> dict[str, Any]:
    """The labels and how they exclude each other; the last to be read."""
    named = fields.get("id2label") or {str(i): f"LABEL_{i}" for i in range(fields.get("num_labels", 2))}
    labels = tuple(str(named[i]) for i in sorted(named, key=int))
    several = fields.get("problem_type") == "multi_label_classification"
    activation = fields.get("hidden_act") or fields.get("activation", "gelu")
    if activation not in ACTIVATIONS:
        raise NotUnderstood(f"hidden_act={activation!r}")
    fields.finish(_IRRELEVANT)
    return {"labels": labels, "independent": several or len(labels) == 1}


class Encoder(nn.Module):
    """Rows of tokens to logits, built on the meta device and assigned the checkpoint's own tensors."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden_size
        self.words = Table(config.vocab_size, hidden)
        self.positions = Table(config.num_positions, hidden)
        self.token_types = Table(config.num_token_types, hidden) if config.num_token_types else None
        self.norm = LayerNorm(hidden, config.norm_eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.head = self.build_head()

    def build_head(self) -> tuple[Projection, ...]:
        """What makes logits of the last layer's output."""
        hidden = self.config.hidden_size
        self.dense = Linear(hidden, hidden, bias=True)
        self.output = Linear(hidden, len(self.config.labels), bias=True)
        return Projection(self.dense, activation=self.config.head_activation), Projection(self.output)

    def forward(self, rows: Rows) -> Tensor:
        """Logits (texts, labels) in fp32."""
        # The head reads each text's first token: the last layer computes no other.
        return self.logits(self.encode(rows, only=rows.first))

    def encode(self, rows: Rows, only: Tensor | None = None, words: Tensor | None = None) -> Tensor:
        """The last layer's output (tokens, hidden), or that of the tokens `only`.

        `words` (tokens, hidden) stand in the place of the tokens' embeddings.
        """
        # The residual stream stays in fp32, the projections take it in their own precision.
        x = (self.words(rows.tokens) if words is None else words) + self.positions(
            rows.positions + self.config.first_position
        )  # (rows · R, hidden)
        if self.token_types is not None:
            # A text has one type of tokens, a pair has two.
            x += self.token_types.weight[0] if rows.types is None else self.token_types(rows.types)
        x = self.norm(x)
        for layer in self.layers[:-1]:
            x = layer(x, rows)
        encoded: Tensor = self.layers[-1](x, rows, only=only)
        return encoded

    def logits(self, x: Tensor) -> Tensor:
        """x (N, hidden) through the head, in fp32."""
        for projection in self.head:
            x = projection(x)
        return x.float()

    def projections(self) -> list[Projection]:
        """The layers' linear parts, where the work is; the head's few rows stay as precise as they are."""
        return [projection for layer in self.layers for projection in layer.projections]


class Table(nn.Module):
    """Rows (hidden,) by their number, in fp32. The weight stays mapped: of its hundreds of MB few rows are read."""

    def __init__(self, rows: int, hidden_size: int) -> None:
        super().__init__()
        self.weight = empty(rows, hidden_size)

    def forward(self, indices: Tensor) -> Tensor:
        return F.embedding(indices, self.weight).float()


class LayerNorm(nn.Module):
    """Layer normalization (Ba et al. 2016, arXiv:1607.06450) in fp32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight, self.bias = empty(size), empty(size)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


class Layer(nn.Module):
    """Attention and MLP, each added to its input and then normalized (post-norm)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.intermediate_size
        self.H = config.num_heads
        self.query, self.key, self.value, self.attended = (Linear(hidden, hidden, bias=True) for _ in range(4))
        self.attention_norm = LayerNorm(hidden, config.norm_eps)
        self.up, self.down = Linear(hidden, inner, bias=True), Linear(inner, hidden, bias=True)
        self.mlp_norm = LayerNorm(hidden, config.norm_eps)
        self.projections = (
            Projection(self.query, self.key, self.value),
            Projection(self.attended),
            Projection(self.up, activation=config.activation),
            Projection(self.down),
        )

    def forward(self, x: Tensor, rows: Rows, only: Tensor | None = None) -> Tensor:
        """x (tokens, hidden) to the same, or to the tokens `only` of it."""
        qkv, attended, up, down = self.projections
        y = self._attend(qkv(x), rows)
        if only is not None:
            x, y = x[only], y[only]
        x = self.attention_norm(x + attended(y))
        return self.mlp_norm(x + down(up(x)))

    def _attend(self, qkv: Tensor, rows: Rows) -> Tensor:
        q, k, v = qkv.view(*rows.shape, 3, self.H, -1).permute(2, 0, 3, 1, 4)  # (rows, H, R, D) each
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=rows.mask)
        return y.transpose(1, 2).reshape(len(qkv), -1)
