"""Attention: each query looks for its keys, in whichever of torch's fused kernels does it best here."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False, scale: float | None = None
) -> Tensor:
    """What q (B, H, T, D) finds in k and v (B, KV, S, D), of the shape of q.

    `mask` says who sees whom, or is added to the scores; `causal` queries are the last T of S tokens, which only a GPU
    takes for T < S. `scale` None is 1/√D.
    """
    grouped = bool(q.shape[1] != k.shape[1])  # a tensor while the pass is recorded
    behind = causal and bool(q.shape[2] < k.shape[2])
    if not q.is_cuda or not (behind or (grouped and mask is not None)):
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=grouped
        )
    if behind and _flash_takes(q, k, v):
        # What this kernel calls causal is that of the last tokens; scaled_dot_product_attention means the first.
        y: Tensor = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, True, scale=scale)[0]
        return y
    return folded_attention(q, k, v, causal_mask(q, k) if behind else mask, scale)


def causal_mask(q: Tensor, k: Tensor) -> Tensor:
    """Who sees whom (T, S) where the T queries are the last of S tokens."""
    T, S = q.shape[2], k.shape[2]
    return torch.ones(T, S, dtype=torch.bool, device=q.device).tril(S - T)


def folded_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
    """`attention` where the queries of a group take the place of tokens.

    The fused kernel that takes masks knows no groups. Without this all keys would be copied for each query of a group,
    and the scores written out, 512 × S × H of them in prefill.
    """
    _, H, T, _ = q.shape
    groups = H // k.shape[1]
    # Query g of a group and token t stand in row g · T + t.
    y = F.scaled_dot_product_attention(
        q.reshape(q.shape[0], k.shape[1], groups * T, -1), k, v,
        attn_mask=None if mask is None else mask.repeat(groups, 1), scale=scale,
    )  # fmt: skip
    return y.reshape(q.shape)


def _flash_takes(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether FlashAttention-2 (Dao 2023, arXiv:2307.08691) runs on these: in half precision, on GPUs since 2020."""
    cuda = torch.backends.cuda
    return q.shape[-1] % 8 == 0 and cuda.can_use_flash_attention(cuda.SDPAParams(q, k, v, None, 0.0, False, True))
