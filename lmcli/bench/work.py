"""What a token costs a machine, from a checkpoint's headers: bytes that decode reads, arithmetic that prefill does."""

from __future__ import annotations

from dataclasses import dataclass

from lmcli.checkpoints.checkpoint import matrices, read_config
from lmcli.types import Checkpoint


@dataclass(frozen=True)
class Work:
    """The numbers of a decoder that its speed follows from.

    `layer_weights` and `head_weights` are the elements of its matrices; the embedding is no such matrix, of it one row
    is read. `attention` is the width of all queries, `kv` that of all keys, in all layers together.
    """

    layer_weights: int
    head_weights: int
    attention: int
    kv: int

    @property
    def weights(self) -> int:
        return self.layer_weights + self.head_weights

    def decode_bytes(self, context: float, per_weight: float, per_cached: float) -> float:
        """Bytes read for one token behind `context` tokens: every weight, and the keys and values of each of them."""
        return self.weights * per_weight + 2 * self.kv * context * per_cached

    def prefill_flops(self, T: int) -> float:
        """Floating-point operations of T tokens: a multiplication and an addition a weight and token, the head for the
        last one alone; and in attention Q·K and A·V, each over half of T × T, because it is causal."""
        return 2.0 * T * self.layer_weights + 2.0 * self.head_weights + 2.0 * T * T * self.attention


def read_work(checkpoint: Checkpoint) -> Work | None:
    """The work of `checkpoint`; None where its config or its weights are not those of a plain decoder."""
    config = read_config(checkpoint.path)
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    values = [config.get(name) for name in names]
    if not all(isinstance(value, int) for value in values) or any("expert" in name for name in config):
        return None  # Of a mixture of experts a token visits a few.
    vocab, hidden, layers, heads = (int(value) for value in values if isinstance(value, int))
    head_dim = config.get("head_dim") or hidden // heads
    kv_heads = config.get("num_key_value_heads") or heads
    return Work(
        layer_weights=sum(count for shape, count in matrices(checkpoint.path) if shape != (vocab, hidden)),
        head_weights=vocab * hidden,
        attention=layers * heads * head_dim,
        kv=layers * kv_heads * head_dim,
    )
