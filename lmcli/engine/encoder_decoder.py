"""The encoder-decoder of all our families: token ids to hidden states, one pass for the source, a step a target token.

Rows of a batch are B sources with W beams each. The beams of a source share its keys and values: those of the encoder,
which are computed once, and in the decoder those of all beams, among which a mask shows each beam its own. So nothing
is copied when beams change places.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmcli.engine.families.llama import Embedding
from lmcli.engine.linear import Linear, empty
from lmcli.engine.projection import ACTIVATIONS, Projection
from lmcli.engine.seq2seq_cache import LayerSlot, Seq2SeqCache, SourceKeys
from lmcli.engine.seq2seq_config import EncoderDecoderConfig, StackConfig


class EncoderDecoder(nn.Module):
    """Parameters are named as in a BART checkpoint, less the leading `model.`; the head is output_head.py's.

    It is built on the meta device and assigned the checkpoint's own tensors.
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.shared = Embedding(config.vocab_size, config.hidden_size)
        self.encoder = Stack(config, config.encoder, decodes=False)
        self.decoder = Stack(config, config.decoder, decodes=True)

    def encode(self, tokens: Tensor, mask: Tensor) -> SourceKeys:
        """What the decoder reads of the sources (B, T), where `mask` (B, T) is False over padding."""
        B, T = tokens.shape
        hidden = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, -torch.inf)[:, None, None]
        x = self.encoder.embed(self.shared(tokens), 0, T).view(B * T, -1)
        bias = self.encoder.distance_bias(torch.arange(T, device=tokens.device), T)
        for layer in self.encoder.layers:
            x = layer.encode(x, B, hidden if bias is None else hidden + bias)
        x = self.encoder.finish(x)
        return SourceKeys([layer.encoder_attn.keys(x, B) for layer in self.decoder.layers], hidden)

    def step(self, tokens: Tensor, cache: Seq2SeqCache, source: SourceKeys, mask: Tensor | None) -> Tensor:
        """Hidden states (B · W, hidden) in fp32 after one more token (B, W) of each beam.

        `mask` (B, 1, W, S · W) is -inf over the keys that are another beam's, this token's included.
        """
        B, W = tokens.shape
        x = self.decoder.embed(self.shared(tokens), cache.length, 1).view(B * W, -1)
        bias = self.decoder.distance_bias(torch.tensor([cache.length], device=tokens.device), cache.length + 1)
        if bias is not None:
            bias = bias.repeat_interleave(W, -1)  # (1, H, 1, S · W)
            mask = bias if mask is None else mask + bias
        for layer, slot, keys in zip(self.decoder.layers, cache.reserve(), source.layers, strict=True):
            x = layer.decode(x, W, slot, mask, keys, source.mask)
        cache.length += 1
        return self.decoder.finish(x)

    def projections(self) -> list[Projection]:
        """Every linear layer."""
        return [projection for stack in (self.encoder, self.decoder) for projection in stack.projections()]


class Stack(nn.Module):
    """The encoder or the decoder, with what stands before and behind its layers."""

    def __init__(self, config: EncoderDecoderConfig, stack: StackConfig, decodes: bool) -> None:
        super().__init__()
        self.config, self.decodes = config, decodes
        relative, rows = config.positions == "relative", config.context_length + config.position_offset
        self.relative_bias = Embedding(config.relative_buckets, stack.num_heads) if relative else None
        self.embed_positions = None if relative else Embedding(rows, config.hidden_size)
        self.layernorm_embedding = Norm(config) if config.embedding_norm else None
        self.layers = nn.ModuleList(Layer(config, stack, decodes) for _ in range(stack.num_layers))
        self.layer_norm = Norm(config) if config.pre_norm else None

    def embed(self, x: Tensor, start: int, count: int) -> Tensor:
        """Embeddings x (B, T, hidden) with `count` positions from `start` on, T or 1 for all, in fp32."""
        # The residual stream stays in fp32: in bf16 it flips near ties.
        x = x.float() * self.config.embed_scale
        if self.embed_positions is not None:
            first = start + self.config.position_offset
            x = x + self.embed_positions.weight[first : first + count].float()
        return x if self.layernorm_embedding is None else self.layernorm_embedding(x)

    def finish(self, x: Tensor) -> Tensor:
        return x if self.layer_norm is None else self.layer_norm(x)

    def distance_bias(self, queries: Tensor, S: int) -> Tensor | None:
        """What T5 adds for the distance from positions `queries` (T,) to the first S: (1, H, T, S)."""
        if self.relative_bias is None:
            return None
        distance = torch.arange(S, device=queries.device) - queries[:, None]
        count, limit = self.config.relative_buckets, self.config.relative_distance
        buckets = distance_buckets(distance, count, limit, both_ways=not self.decodes)
        return self.relative_bias(buckets).float().permute(2, 0, 1).unsqueeze(0)

    def projections(self) -> list[Projection]:
        return [projection for layer in self.layers for projection in layer.projections()]


class Layer(nn.Module):
    """Attention to its own side, in the decoder also to the source, and a feed-forward layer."""

    def __init__(self, config: EncoderDecoderConfig, stack: StackConfig, decodes: bool) -> None:
        super().__init__()
        self.pre_norm = config.pre_norm
        self.self_attn, self.self_attn_layer_norm = Attention(config, stack.num_heads, True), Norm(config)
        self.encoder_attn = Attention(config, stack.num_heads, False) if decodes else None
        self.encoder_attn_layer_norm = Norm(config) if decodes else None
        self.mlp, self.final_layer_norm = FeedForward(config, stack.intermediate_size), Norm(config)

    def encode(self, x: Tensor, B: int, mask: Tensor) -> Tensor:
        """x (B · T, hidden) of whole sources."""
        y, keys = self.self_attn.project(self._before(x, self.self_attn_layer_norm), B)
        x = self._after(x, self.self_attn.look(y, keys, mask), self.self_attn_layer_norm)
        return self._feed_forward(x)

    def decode(self, x: Tensor, W: int, slot: LayerSlot, mask: Tensor | None, keys: Tensor, hidden: Tensor) -> Tensor:
        """x (B · W, hidden) of one token a beam."""
        assert self.encoder_attn is not None
        B = len(keys)
        q, new = self.self_attn.project(self._before(x, self.self_attn_layer_norm), B)
        slot.new.copy_(new)
        x = self._after(x, self.self_attn.look(q, slot.all, mask), self.self_attn_layer_norm)
        q = self.encoder_attn.query(self._before(x, self.encoder_attn_layer_norm), B)
        x = self._after(x, self.encoder_attn.look(q, keys, hidden), self.encoder_attn_layer_norm)
        return self._feed_forward(x)

    def projections(self) -> list[Projection]:
        blocks = (self.self_attn, self.encoder_attn, self.mlp)
        return [projection for block in blocks if block is not None for projection in block.projections]

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self._after(x, self.mlp(self._before(x, self.final_layer_norm)), self.final_layer_norm)

    def _before(self, x: Tensor, norm: nn.Module | None) -> Tensor:
        return norm(x) if self.pre_norm and norm is not None else x

    def _after(self, x: Tensor, y: Tensor, norm: nn.Module | None) -> Tensor:
        x = x + y
        return x if self.pre_norm or norm is None else norm(x)


class Attention(nn.Module):
    """Multi-head attention; `fused` where queries, keys and values come of the same x."""

    def __init__(self, config: EncoderDecoderConfig, num_heads: int, fused: bool) -> None:
        super().__init__()
        self.H, self.D = num_heads, config.head_dim
        self.scale = config.attention_scale
        hidden, inner = config.hidden_size, num_heads * config.head_dim
        self.q_proj, self.k_proj, self.v_proj = (Linear(hidden, inner, config.bias) for _ in range(3))
        self.out_proj = Linear(inner, hidden, config.bias)
        self.output = Projection(self.out_proj)
        if fused:
            self.qkv = Projection(self.q_proj, self.k_proj, self.v_proj)
            self.projections: tuple[Projection, ...] = (self.qkv, self.output)
        else:
            self.q, self.kv = Projection(self.q_proj), Projection(self.k_proj, self.v_proj)
            self.projections = (self.q, self.kv, self.output)

    def project(self, x: Tensor, B: int) -> tuple[Tensor, Tensor]:
        """Queries (B, T, H, D) and keys with values (B, T, 2, H, D) of x (B · T, hidden)."""
        qkv = self.qkv(x).view(B, -1, 3, self.H, self.D)
        return qkv[:, :, 0], qkv[:, :, 1:]

    def query(self, x: Tensor, B: int) -> Tensor:
        return self.q(x).view(B, -1, self.H, self.D)

    def keys(self, x: Tensor, B: int) -> Tensor:
        """Keys with values (B, T, 2, H, D) of x (B · T, hidden)."""
        return self.kv(x).view(B, -1, 2, self.H, self.D)

    def look(self, q: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        """What queries (B, T, H, D) find among `keys` (B, S, 2, H, D): (B · T, hidden)."""
        k, v = keys.unbind(2)
        if mask is not None and q.device.type != "cpu":
            mask = mask.to(q.dtype)  # A CPU takes them apart, and the biases of T5 are better not rounded.
        y = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask, scale=self.scale
        )
        return self.output(y.transpose(1, 2).reshape(-1, self.H * self.D))


class FeedForward(nn.Module):
    """An inner layer with an activation, or (Shazeer 2020, arXiv:2002.05202) with a gate that has it."""

    def __init__(self, config: EncoderDecoderConfig, inner: int) -> None:
        super().__init__()
        hidden, bias = config.hidden_size, config.bias
        self.fc1, self.fc2 = Linear(hidden, inner, bias), Linear(inner, hidden, bias)
        self.gate = Linear(hidden, inner, bias) if config.gated else None
        self.activate = ACTIVATIONS[config.activation]
        if self.gate is None:
            self.inner = Projection(self.fc1, activation=config.activation)
        else:
            self.inner = Projection(self.gate, self.fc1)
        self.outer = Projection(self.fc2)
        self.projections = (self.inner, self.outer)

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        if self.gate is not None:
            gate, y = y.chunk(2, -1)
            y = self.activate(gate) * y
        return self.outer(y)


class Norm(nn.Module):
    """Layer normalization (Ba et al. 2016, arXiv:1607.06450), or RMS norm without means and biases, in fp32."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.weight = empty(config.hidden_size)
        self.bias = None if config.rms_norm else empty(config.hidden_size)
        self.eps = config.norm_eps

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is None:
            return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.weight
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def distance_buckets(distance: Tensor, count: int, limit: int, both_ways: bool) -> Tensor:
    """T5's bucket of each distance: near ones have their own, farther ones share one the more, up to `limit`."""
    first = torch.zeros_like(distance)
    if both_ways:
        count //= 2
        first = (distance > 0).long() * count
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = count // 2
    far = exact + (torch.log(distance.float() / exact) / math.log(limit / exact) * (count - exact)).long()
    return first + torch.where(distance < exact, distance, far.clamp(max=count - 1))
