"""Llama (Touvron et al. 2023, arXiv:2302.13971): the decoder that Mistral, Qwen and many others vary.

x → embedding → N × [ x + attention(norm(x)), x + mlp(norm(x)) ] → norm → logits. There is no batch dimension: one
conversation is decoded at a time.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmcli.engine.config import ConfigFields, DecoderConfig, read_dimensions
from lmcli.engine.kv_cache import KVCache, LayerSlot
from lmcli.engine.linear import Fused, Linear, empty
from lmcli.engine.rope import Rope, rotate


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

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.lm_head = Linear(config.hidden_size, config.vocab_size)
        self.head = Fused(self.lm_head)
        self.windows = set(config.sliding_windows)

    def forward(self, tokens: Tensor, cache: KVCache, rope: Rope, last: int = 1) -> Tensor:
        """Logits (last, V) in fp32 of the last `last` of `tokens` (T,), which follow those in the cache."""
        T = tokens.shape[0]
        # The residual stream stays in fp32: in bf16 it flips near ties.
        x = self.embed_tokens(tokens).float()  # (T, hidden)
        rotation = rope(cache.length, T)
        masks = {window: attention_mask(T, cache.length + T, window, x.device) for window in self.windows}
        for layer, slot, window in zip(self.layers, cache.reserve(T), self.config.sliding_windows, strict=True):
            x = layer(x, rotation, slot, masks[window])
        cache.length += T
        return self.head(self.norm(x[T - last :])).float()

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

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], slot: LayerSlot, mask: Tensor | bool) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation, slot, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Attention(nn.Module):
    """Causal attention with grouped queries (Ainslie et al. 2023, arXiv:2305.13245), H query and KV key heads."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.H, self.KV, self.D = config.num_heads, config.num_kv_heads, config.head_dim
        hidden, bias = config.hidden_size, config.attention_bias
        self.q_proj = Linear(hidden, self.H * self.D, bias=bias)
        self.k_proj = Linear(hidden, self.KV * self.D, bias=bias)
        self.v_proj = Linear(hidden, self.KV * self.D, bias=bias)
        self.o_proj = Linear(self.H * self.D, hidden, bias=config.output_bias)
        self.qkv, self.output = Fused(self.q_proj, self.k_proj, self.v_proj), Fused(self.o_proj)
        self.projections = (self.qkv, self.output)
        self.q_norm = RMSNorm(self.D, config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(self.D, config.norm_eps) if config.qk_norm else None

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], slot: LayerSlot, mask: Tensor | bool) -> Tensor:
        T, H, KV = x.shape[0], self.H, self.KV
        qkv = self.qkv(x).float().view(T, H + 2 * KV, self.D)
        qk, v = qkv[:, : H + KV], qkv[:, H + KV :]
        if self.q_norm is not None and self.k_norm is not None:
            qk = torch.cat((self.q_norm(qk[:, :H]), self.k_norm(qk[:, H:])), 1)
        qk = rotate(qk, rotation)
        slot.new_k.copy_(qk[:, H:].transpose(0, 1))  # (KV, T, D)
        slot.new_v.copy_(v.transpose(0, 1))
        q = qk[:, :H].transpose(0, 1).unsqueeze(0).to(slot.all_k.dtype)  # (1, H, T, D)
        y = F.scaled_dot_product_attention(
            q,
            slot.all_k,
            slot.all_v,
            attn_mask=None if isinstance(mask, bool) else mask,
            is_causal=mask is True,
            enable_gqa=H != KV,
        )
        return self.output(y.squeeze(0).transpose(0, 1).reshape(T, H * self.D))


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        hidden, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj = Linear(hidden, inner, bias=bias)
        self.up_proj = Linear(hidden, inner, bias=bias)
        self.down_proj = Linear(inner, hidden, bias=bias)
        self.gate_up, self.down = Fused(self.gate_proj, self.up_proj), Fused(self.down_proj)
        self.projections = (self.gate_up, self.down)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, -1)  # (T, inner) each
        return self.down(F.silu(gate) * up)


class RMSNorm(nn.Module):
    """x / rms(x) · weight over the last dimension (Zhang & Sennrich 2019, arXiv:1910.07467), in fp32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = empty(size)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 2 and x.shape[0] == 1:
            # One row in decode: the dot product with itself takes half the operations of the mean of squares.
            mean_square = torch.addmm(_scalar(self.eps, x.device), x, x.t(), alpha=1 / x.shape[1])
            return x * mean_square.rsqrt_() * self.weight
        return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.weight


@cache
def _scalar(value: float, device: torch.device) -> Tensor:
    return torch.full((1, 1), value, device=device)


def attention_mask(T: int, S: int, window: int | None, device: torch.device) -> Tensor | bool:
    """Who the last T of S tokens may look at: False all, True those before it, else a mask (T, S).

    `window` is the number of tokens, itself included, a token may look back on.
    """
    if window is None or window >= S:
        if T == 1:
            return False
        if T == S:
            return True
    query = torch.arange(S - T, S, device=device).unsqueeze(1)
    key = torch.arange(S, device=device)
    mask = key <= query
    return mask if window is None else mask & (key > query - window)
