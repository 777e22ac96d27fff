"""Random textures for tests of motion."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def random_texture(height: int, width: int, seed: int = 0) -> Tensor:
    """A random texture ``(1, 3, H, W)`` around 0.5 with detail of every size, as natural pictures have; not clamped."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 3, height, width)
    for cell in (2, 4, 8, 16, 32):
        noise = torch.rand(1, 3, height // cell + 3, width // cell + 3, generator=generator) - 0.5
        total += F.interpolate(noise, scale_factor=cell, mode="bicubic")[..., :height, :width]
    return total * 0.35 + 0.5
