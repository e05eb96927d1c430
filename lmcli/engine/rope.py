"""Rotary position embedding: the angles of each position and their application to queries and keys."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lmcli.engine.config import RopeConfig

_BLOCK = 256  # positions


class Rope:
    """Turns positions into (cos, sin), each (T, 1, D); `head_dim` is D. They are tables that grow by doubling."""

    def __init__(self, config: RopeConfig, head_dim: int, device: torch.device) -> None:
        frequencies, self._scale = inverse_frequencies(config, head_dim)
        self._frequencies = frequencies.to(device)  # (D/2,)
        self._cos, self._sin = self._tables(_BLOCK)

    def __call__(self, start: int, T: int) -> tuple[Tensor, Tensor]:
        end = start + T
        if end > len(self._cos):
            self._cos, self._sin = self._tables(max(2 * len(self._cos), end))
        return self._cos[start:end], self._sin[start:end]

    def _tables(self, length: int) -> tuple[Tensor, Tensor]:
        positions = torch.arange(length, dtype=torch.float32, device=self._frequencies.device)
        angles = torch.outer(positions, self._frequencies)  # (length, D/2)
        cos, sin = angles.cos(), angles.sin()
        # The first half of the sine carries the minus sign of the rotation: see rotate.
        return (
            torch.cat((cos, cos), -1).mul_(self._scale).unsqueeze(1),
            torch.cat((-sin, sin), -1).mul_(self._scale).unsqueeze(1),
        )


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each pair (x[i], x[i + D/2]) of x (T, H, D) by its position's angle."""
    cos, sin = rotation
    swapped = x.unflatten(-1, (2, -1)).flip(-2).flatten(-2)
    return torch.addcmul(x * cos, swapped, sin)


def inverse_frequencies(config: RopeConfig, head_dim: int) -> tuple[Tensor, float]:
    """Radians per position (D/2,) and the factor on cos and sin."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
    plain = 1.0 / config.theta**exponents
    scaling = config.scaling
    if config.kind == "linear":
        return plain / scaling["factor"], 1.0
    if config.kind == "llama3":
        return _llama3(plain, scaling), 1.0
    if config.kind == "yarn":
        return _yarn(plain, config.theta, head_dim, scaling)
    return plain, 1.0


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
