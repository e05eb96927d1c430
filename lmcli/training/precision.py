"""Precision: where a run computes, in which dtype its products are, its weights are held and its result is written."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lmcli.engine.device import DTYPES, has_bf16, pick_device
from lmcli.engine.linear import prefill_dtype
from lmcli.training.plan import Plan


@dataclass(frozen=True)
class Precision:
    """What products are computed in, and where; `half` is bf16, with sums and the weights that learn in float32."""

    device: torch.device
    half: bool


def precision(plan: Plan) -> Precision:
    """bf16 where it is fast and nothing else is asked for."""
    device = pick_device(plan.device)
    if plan.dtype != "auto":
        return Precision(device, plan.dtype == "bfloat16")
    fast = prefill_dtype() is torch.bfloat16 if device.type == "cpu" else has_bf16(device)
    return Precision(device, fast)


def held(plan: Plan) -> torch.dtype:
    """What the weights are loaded in: float32, but bf16 beneath LoRA where the checkpoint itself is in half precision
    and so are the products. They do not learn, and take half the memory."""
    frozen = plan.recipe.lora_rank is not None and stored(plan) is not torch.float32
    return torch.bfloat16 if frozen and precision(plan).half else torch.float32


def stored(plan: Plan) -> torch.dtype:
    """What the result is written in: what the checkpoint is stored in that it began with, else float32."""
    return DTYPES.get(plan.checkpoint.dtype, torch.float32) if plan.checkpoint else torch.float32
