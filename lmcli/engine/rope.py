"""Rotary position embedding: the angles of each position and their application to queries and keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lmcli.engine.config import RopeConfig

_BLOCK = 256  # positions


class Rope:
    """Turns positions into (cos, sin), each (R, T, 1, D): R ropes that turn the first D dimensions of a head.

    They are tables that grow by doubling.
    """

    def __init__(self, configs: Sequence[RopeConfig], head_dim: int, device: torch.device) -> None:
        self._configs, self._head_dim, self._device = configs, head_dim, device
        self._long = False  # what the tables are made for, see agree
        self._cos, self._sin = self._tables(_BLOCK)

    def __call__(self, start: int, T: int) -> tuple[Tensor, Tensor]:
        end = start + T
        cos, sin = self.whole(end, end)
        return cos[:, start:end], sin[:, start:end]

    def whole(self, length: int, needed: int) -> tuple[Tensor, Tensor]:
        """The tables themselves for a text of `length` tokens, with at least `needed` positions: the same tensors
        until more are needed or a text is turned otherwise."""
        size = self._cos.shape[1]
        if needed > size or self._is_long(length) != self._long:
            self._long = self._is_long(length)
            self._cos, self._sin = self._tables(max(2 * size, needed) if needed > size else size)
        return self._cos, self._sin

    def agree(self, length: int, other: int) -> bool:
        """Whether the same positions are turned alike in a text of `length` tokens and in one of `other`."""
        return self._is_long(length) == self._is_long(other)

    def _is_long(self, length: int) -> bool:
        return any(is_long(config, length) for config in self._configs)

    def _tables(self, length: int) -> tuple[Tensor, Tensor]:
        pairs = [self._table(config, length) for config in self._configs]
        cos, sin = zip(*pairs, strict=True)
        return torch.stack(cos), torch.stack(sin)

    def _table(self, config: RopeConfig, length: int) -> tuple[Tensor, Tensor]:
        frequencies, scale = inverse_frequencies(config, self._head_dim, self._long)
        angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)  # (length, D/2)
        cos, sin = (angles.cos() * scale).to(self._device), (angles.sin() * scale).to(self._device)
        # The first half of the sine carries the minus sign of the rotation: see rotate.
        return torch.cat((cos, cos), -1).unsqueeze(1), torch.cat((-sin, sin), -1).unsqueeze(1)


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each pair (x[i], x[i + D/2]) of x (T, H, D) by its position's angle; what x has beyond D stays."""
    cos, sin = rotation
    D = cos.shape[-1]
    if x.shape[-1] > D:
        return torch.cat((rotate(x[..., :D], rotation), x[..., D:]), -1)
    swapped = x.unflatten(-1, (2, -1)).flip(-2).flatten(-2)
    return torch.addcmul(x * cos, swapped, sin)


def is_long(config: RopeConfig, length: int) -> bool:
    """Whether a text of `length` tokens is one that LongRoPE turns otherwise, from its first token on."""
    return config.kind == "longrope" and length > config.scaling["original_max_position_embeddings"]


def inverse_frequencies(config: RopeConfig, head_dim: int, long: bool = False) -> tuple[Tensor, float]:
    """Radians per position (D/2,) and the factor on cos and sin; `long` as is_long says."""
    head_dim = int(head_dim * config.fraction)
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
    plain = 1.0 / config.theta**exponents
    scaling = config.scaling
    if config.kind == "longrope":
        return _longrope(plain, scaling, long)
    if config.kind == "linear":
        return plain / scaling["factor"], 1.0
    if config.kind == "llama3":
        return _llama3(plain, scaling), 1.0
    if config.kind == "yarn":
        return _yarn(plain, config.theta, head_dim, scaling)
    return plain, 1.0


def _longrope(plain: Tensor, scaling: dict[str, Any], long: bool) -> tuple[Tensor, float]:
    """LongRoPE (Ding et al. 2024, arXiv:2402.13753): each dimension slowed by its own factor, found by search."""
    factors = torch.tensor(scaling["long_factor" if long else "short_factor"], dtype=torch.float32)
    factor, scale = scaling["factor"], scaling.get("attention_factor")
    if scale is None:
        length = scaling["original_max_position_embeddings"]
        scale = math.sqrt(1 + math.log(factor) / math.log(length)) if factor > 1 else 1.0
    return plain / factors, scale


def _llama3(plain: Tensor, scaling: dict[str, float]) -> Tensor:
    """Llama 3.1's: long waves are slowed by `factor`, short ones kept, a ramp between (Llama 3 model card)."""
    wavelength = 2 * math.pi / plain
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] / wavelength
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return kept * plain + (1 - kept) * plain / scaling["factor"]


def _yarn(plain: Tensor, theta: float, D: int, scaling: dict[str, float]) -> tuple[Tensor, float]:
    """YaRN (Peng et al. 2023, arXiv:2309.00071): interpolate slow dimensions, keep fast ones, sharpen attention."""
    factor, length = scaling["factor"], scaling["original_max_position_embeddings"]

    def dimension(turns: float) -> float:
        return D * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dimension(scaling.get("beta_fast") or 32), dimension(scaling.get("beta_slow") or 1)
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, D - 1)
    ramp = ((torch.arange(D // 2).float() - low) / ((high - low) or 0.001)).clamp(0, 1)

    def sharpening(mscale: float) -> float:
        return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0

    mscale, mscale_all = scaling.get("mscale"), scaling.get("mscale_all_dim")
    inferred = sharpening(mscale) / sharpening(mscale_all) if mscale and mscale_all else sharpening(1.0)
    attention_factor = scaling.get("attention_factor")
    scale = inferred if attention_factor is None else attention_factor
    return plain / factor * ramp + plain * (1 - ramp), scale
