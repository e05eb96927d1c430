"""Mixtral (Jiang et al. 2024, arXiv:2401.04088): Mistral with a mixture of experts on every layer."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lmcli.engine.config import ConfigFields, DecoderConfig, read_dimensions, read_rope
from lmcli.engine.families import qwen3_moe
from lmcli.engine.families.qwen3_moe import MixtureConfig

_NAMES = {".block_sparse_moe.": ".mlp.", ".w1.": ".gate_proj.", ".w2.": ".down_proj.", ".w3.": ".up_proj."}


def read(config: dict[str, Any]) -> DecoderConfig:
    fields = ConfigFields(config)
    dimensions = read_dimensions(fields, read_rope(fields, theta=1_000_000.0), norm_eps=1e-5)
    num_layers = dimensions["num_layers"]
    dimensions |= {
        "sliding_windows": (fields.get("sliding_window"),) * num_layers,
        "num_experts": fields.get("num_local_experts", 8),
        "experts_per_token": fields.get("num_experts_per_tok", 2),
        "expert_size": dimensions["intermediate_size"],
        "sparse": (True,) * num_layers,
    }
    # The router's noise is for training.
    fields.finish(irrelevant={"router_aux_loss_coef", "router_jitter_noise"})
    return MixtureConfig(**dimensions)


class Decoder(qwen3_moe.Decoder):
    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return {_named(name): weight for name, weight in weights.items()}


def _named(name: str) -> str:
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    return name
