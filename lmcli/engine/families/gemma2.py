"""Gemma 2 (Rivière et al. 2024, arXiv:2408.00118): Gemma with norms on both sides of each block, windows on every
other layer, and scores and logits that are capped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmcli.engine.attention import causal_mask
from lmcli.engine.config import ConfigFields, DecoderConfig, RopeConfig, read_sliding_layers
from lmcli.engine.families import gemma, llama
from lmcli.engine.families.llama import RMSNorm, Rotation, Slot


@dataclass(frozen=True)
class Gemma2Config(DecoderConfig):
    """A decoder's dimensions and what its scores and logits are kept below, None where they are not."""

    score_cap: float | None = None
    logit_cap: float | None = None


def read(config: dict[str, Any]) -> DecoderConfig:
    fields = ConfigFields(config)
    dimensions = read_gemma2(fields, 2)
    # A null cap is none, an absent one is transformers' default.
    caps = {
        "score_cap": fields.get("attn_logit_softcapping", None if "attn_logit_softcapping" in config else 50.0),
        "logit_cap": fields.get("final_logit_softcapping", None if "final_logit_softcapping" in config else 30.0),
    }
    fields.finish(irrelevant={"cache_implementation"})
    return Gemma2Config(**dimensions, **caps)


def read_gemma2(fields: ConfigFields, every: int, rope: RopeConfig | None = None) -> dict[str, Any]:
    """What Gemma 2 and 3 spell alike. `every` so many layers one has no window."""
    dimensions = gemma.read_gemma(fields, rope)
    window = fields.need("sliding_window")
    sliding = read_sliding_layers(fields, [(i + 1) % every != 0 for i in range(dimensions["num_layers"])])
    dimensions["sliding_windows"] = tuple(window if slides else None for slides in sliding)
    return dimensions | {"attention_scale": fields.get("query_pre_attn_scalar", 256) ** -0.5}


class Decoder(gemma.Decoder):
    config: Gemma2Config

    def layer(self, index: int) -> Layer:
        return Layer(self.config)

    def logits(self, x: Tensor) -> Tensor:
        return capped(super().logits(x), self.config.logit_cap)


class Layer(llama.Layer):
    def __init__(self, config: Gemma2Config) -> None:
        super().__init__(config)
        if config.score_cap is not None:
            self.self_attn = CappedAttention(config, config.score_cap)
        self.pre_feedforward_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.post_feedforward_layernorm = RMSNorm(config.hidden_size, config.norm_eps)

    def forward(self, x: Tensor, rotation: Rotation | None, slot: Slot, mask: Tensor | None, causal: bool) -> Tensor:
        y = self.self_attn(self.input_layernorm(x), rotation, slot, mask, causal)
        x = x + self.post_attention_layernorm(y)
        y = self.mlp(self.pre_feedforward_layernorm(x))
        return x + self.post_feedforward_layernorm(y)


class CappedAttention(llama.Attention):
    """Attention spelled out: the fused one has no place for the cap."""

    def __init__(self, config: Gemma2Config, cap: float) -> None:
        super().__init__(config)
        self.cap = cap

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        groups = q.unflatten(1, (self.KV, -1))  # (1, KV, H / KV, T, D); a lone token's heads stand in T's place
        scores = groups @ k.unsqueeze(2).transpose(-1, -2) * (self.scale or self.D**-0.5)  # (1, KV, H / KV, T, S)
        scores = capped(scores.float(), self.cap)
        if causal:
            mask = causal_mask(q, k)
        if mask is not None and mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -torch.inf)
        elif mask is not None:  # (B, 1, 1, S) of sequences side by side
            scores = scores + mask.unsqueeze(2)
        return (scores.softmax(-1).to(v.dtype) @ v.unsqueeze(2)).flatten(1, 2)


def capped(x: Tensor, cap: float | None) -> Tensor:
    """x bent so that it stays within ±cap."""
    return x if cap is None else (x / cap).tanh() * cap
