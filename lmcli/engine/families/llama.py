"""Llama (Touvron et al. 2023, arXiv:2302.13971): the decoder that Mistral, Qwen and many others vary.

x → embedding → N × [ x + attention(norm(x)), x + mlp(norm(x)) ] → norm → logits. There is no batch dimension: one
conversation is decoded at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmcli.engine.attention import attention
from lmcli.engine.config import ConfigFields, DecoderConfig, read_dimensions
from lmcli.engine.kv_cache import Slots
from lmcli.engine.linear import PACKED_ROWS, Fused, Linear, empty
from lmcli.engine.rope import rotate

Rotation = tuple[Tensor, Tensor]  # cos and sin, see Rope
Slot = Sequence[Tensor]  # one layer's share of Slots


def read(config: dict[str, Any]) -> DecoderConfig:
    fields = ConfigFields(config)
    dimensions = read_dimensions(fields)
    bias = fields.get("attention_bias", False)
    dimensions |= {"attention_bias": bias, "output_bias": bias, "mlp_bias": fields.get("mlp_bias", False)}
    fields.finish()
    return DecoderConfig(**dimensions)


class Decoder(nn.Module):
    """Token ids to logits. Parameters are named as in the checkpoint, less the leading `model.`.

    It is built on the meta device and assigned the checkpoint's own tensors: nothing is ever initialised or copied.
    """

    recordable = True  # see Recorded

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(self.layer(index) for index in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.lm_head = Linear(config.hidden_size, config.vocab_size)
        self.head = Fused(self.lm_head)
        self.windows = list(dict.fromkeys(config.sliding_windows))
        self.ropes = list(dict.fromkeys(rope for rope in config.ropes if rope))

    def forward(
        self, tokens: Tensor, rotation: Rotation, slots: Slots, masks: Tensor | None = None, causal: bool = False,
        last: int = 0,
    ) -> Tensor:  # fmt: skip
        """Logits in fp32, (last, V) of the last `last` of `tokens` (T,), or of all of them where it is 0.

        Their keys and values go into `slots`; `rotation` turns them to their positions, one (cos, sin) for each of
        `ropes`. A lone token sees all that `slots` hold; several, if `causal`, those before them; else `masks`
        (W, T, S) say who sees whom, one mask for each of `windows`. Where `slots` have T rows, each token belongs to a
        sequence of its own and sees its row's keys as far as `masks` (W, T, 1, 1, S), to be added to the scores, let
        it.
        """
        turned = dict(zip(self.ropes, zip(*(table.unbind(0) for table in rotation), strict=True), strict=True))
        seen = dict(zip(self.windows, [None] * len(self.windows) if masks is None else masks.unbind(0), strict=True))
        x = self.embed(tokens)
        kinds = zip(self.config.ropes, self.config.sliding_windows, strict=True)
        layers = zip(self.layers, kinds, *(slot.unbind(0) for slot in slots), strict=True)
        for layer, (rope, window), *slot in layers:
            x = layer(x, turned.get(rope), slot, seen[window], causal)
        return self.logits(x[-last:])

    def layer(self, index: int) -> Layer:
        return Layer(self.config)

    def embed(self, tokens: Tensor) -> Tensor:
        # The residual stream stays in fp32: in bf16 it flips near ties.
        return self.embed_tokens(tokens).float()  # (T, hidden)

    def logits(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x)).float()

    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint's tensors by the names of our parameters, where its family's differ."""
        return weights

    def projections(self) -> list[Fused]:
        """Every linear layer; first the head, the largest."""
        blocks = [block for layer in self.layers for block in (layer.self_attn, layer.mlp)]
        return [self.head, *(projection for block in blocks for projection in block.projections)]


class Embedding(nn.Module):
    """A row (hidden,) a token id; its weight is a Linear's in a head that is tied to it."""

    def __init__(self, vocab_size: int, hidden_size: int) -> None:
        super().__init__()
        self.weight = empty(vocab_size, hidden_size)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.weight)


class Layer(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, rotation: Rotation | None, slot: Slot, mask: Tensor | None, causal: bool) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation, slot, mask, causal)
        return x + self.mlp(self.post_attention_layernorm(x))


class Attention(nn.Module):
    """Causal attention with grouped queries (Ainslie et al. 2023, arXiv:2305.13245), H query and KV key heads."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.H, self.KV, self.D = config.num_heads, config.num_kv_heads, config.head_dim
        self.scale = config.attention_scale
        hidden, bias = config.hidden_size, config.attention_bias
        self.q_proj = Linear(hidden, self.H * self.D, bias=bias)
        self.k_proj = Linear(hidden, self.KV * self.D, bias=bias)
        self.v_proj = Linear(hidden, self.KV * self.D, bias=bias)
        self.o_proj = Linear(self.H * self.D, hidden, bias=config.output_bias)
        self.qkv, self.output = Fused(self.q_proj, self.k_proj, self.v_proj), Fused(self.o_proj)
        self.projections = (self.qkv, self.output)
        self.q_norm = RMSNorm(self.D, config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(self.D, config.norm_eps) if config.qk_norm else None

    def forward(self, x: Tensor, rotation: Rotation | None, slot: Slot, mask: Tensor | None, causal: bool) -> Tensor:
        H, KV, D = self.H, self.KV, self.D
        qkv = self.qkv(x)
        qk, v = qkv.float().view(-1, H + 2 * KV, D).split((H + KV, KV), 1)  # (T, heads, D)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = qk.split((H, KV), 1)
            qk = torch.cat((self.q_norm(q), self.k_norm(k)), 1)
        q, k = (qk if rotation is None else rotate(qk, rotation)).split((H, KV), 1)
        new_k, new_v, all_k, all_v = slot
        new_k.copy_(k.transpose(0, 1))  # (KV, T, D)
        new_v.copy_(v.transpose(0, 1))
        if x.shape[0] == all_k.shape[0]:
            # A token a row: the queries of a group take the place of the tokens, so that no key is read twice.
            y = self.attend(q.to(all_k.dtype).view(-1, KV, H // KV, D), all_k, all_v, mask)
            return self.output(y.view(-1, H * D))
        # Prefill attends in the precision of its products, bf16, in less than half the time that fp32 takes on a CPU.
        # For a few tokens that would cost more than it gains: all keys would have to be converted.
        dtype = qkv.dtype if x.shape[0] > PACKED_ROWS else all_k.dtype
        q, k, v = q.to(dtype).transpose(0, 1).unsqueeze(0), all_k.to(dtype), all_v.to(dtype)  # q (1, H, T, D)
        y = self.attend(q, k, v, mask, causal)
        return self.output(y.squeeze(0).transpose(0, 1).reshape(-1, H * D))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """What q (1, H, T, D) finds in k and v (1, KV, S, D), of the shape of q."""
        return attention(q, k, v, mask, causal, self.scale)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
}


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202), or GeGLU by its activation."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        hidden, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.activate = _ACTIVATIONS[config.activation]
        self.gate_proj = Linear(hidden, inner, bias=bias)
        self.up_proj = Linear(hidden, inner, bias=bias)
        self.down_proj = Linear(inner, hidden, bias=bias)
        self.gate_up, self.down = Fused(self.gate_proj, self.up_proj), Fused(self.down_proj)
        self.projections = (self.gate_up, self.down)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, -1)  # (T, inner) each
        return self.down(self.activate(gate) * up)


class RMSNorm(nn.Module):
    """x / rms(x) · weight over the last dimension (Zhang & Sennrich 2019, arXiv:1910.07467), in fp32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = empty(size)
        self.size, self.eps = size, eps

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            return F.rms_norm(x, (self.size,), self.weight, self.eps)  # one kernel in the place of five
        if x.dim() == 2 and x.shape[0] == 1:
            # One row in decode: the dot product with itself takes half the operations of the mean of squares.
            mean_square = torch.addmm(_scalar(self.eps, x.device), x, x.t(), alpha=1 / self.size)
            return x * mean_square.rsqrt_() * self.weight
        return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.weight


@cache
def _scalar(value: float, device: torch.device) -> Tensor:
    return torch.full((1, 1), value, device=device)
