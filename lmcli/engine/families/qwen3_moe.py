"""Qwen 3 with a mixture of experts (Yang et al. 2025, arXiv:2505.09388): of a layer's many MLPs a token takes a few.

A router picks them (Shazeer et al. 2017, arXiv:1701.06538), so that a token reads a tenth of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lmcli.engine.config import ConfigFields, DecoderConfig, read_dimensions
from lmcli.engine.families import llama
from lmcli.engine.families.llama import MLP
from lmcli.engine.linear import Fused, Linear


@dataclass(frozen=True)
class MixtureConfig(DecoderConfig):
    """A decoder's dimensions and its experts'; `sparse` says of each layer whether it has experts or a plain MLP."""

    num_experts: int = 1
    experts_per_token: int = 1
    expert_size: int = 0
    normalized: bool = True
    sparse: tuple[bool, ...] = ()


def read(config: dict[str, Any]) -> DecoderConfig:
    fields = ConfigFields(config)
    dimensions = read_dimensions(fields)
    num_layers, plain = dimensions["num_layers"], fields.get("mlp_only_layers", [])
    step = fields.get("decoder_sparse_step", 1)
    window = fields.get("sliding_window", 4096) if fields.get("use_sliding_window", False) else None
    bias = fields.get("attention_bias", False)
    dimensions |= {
        "sliding_windows": (window,) * num_layers,
        "attention_bias": bias,
        "output_bias": bias,
        # transformers 5 writes the name that Mixtral's configs have.
        "num_experts": fields.need("num_local_experts" if "num_local_experts" in config else "num_experts"),
        "experts_per_token": fields.need("num_experts_per_tok"),
        "expert_size": fields.need("moe_intermediate_size"),
        "normalized": fields.get("norm_topk_prob", False),
        "sparse": tuple(i not in plain and (i + 1) % step == 0 for i in range(num_layers)),
    }
    fields.finish(irrelevant={"router_aux_loss_coef"})
    return MixtureConfig(**dimensions, qk_norm=True)


class Decoder(llama.Decoder):
    config: MixtureConfig
    recordable = False  # Which experts a token takes is known only when it comes.

    def layer(self, index: int) -> llama.Layer:
        layer = llama.Layer(self.config)
        if self.config.sparse[index]:
            layer.mlp = Mixture(self.config)
        return layer


class Mixture(nn.Module):
    """E experts, each an MLP, of which a router picks k a token and weighs what they say."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.k, self.normalized = config.experts_per_token, config.normalized
        self.gate = Linear(config.hidden_size, config.num_experts)
        self.router = Fused(self.gate)
        each = replace(config, intermediate_size=config.expert_size)
        self.experts = nn.ModuleList(MLP(each) for _ in range(config.num_experts))
        # The experts are never packed: a copy would pay only once its expert has been picked some 60 times.
        self.projections = (self.router,)

    def forward(self, x: Tensor) -> Tensor:
        weights, picked = self.router(x).float().softmax(-1).topk(self.k)  # (T, k)
        if self.normalized:
            weights = weights / weights.sum(-1, keepdim=True)
        y = torch.zeros_like(x)
        for index in picked.unique().tolist():
            token, place = (picked == index).nonzero(as_tuple=True)
            said = self.experts[index](x[token]).float()
            y.index_add_(0, token, said * weights[token, place].unsqueeze(1))
        return y
