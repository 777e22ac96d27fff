"""Arguments of ``bilateral_motion``: frames of a moving texture, and random calls."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.textures import random_texture


def shifted(height: int, width: int, dy: int, dx: int) -> tuple[Tensor, Tensor]:
    """Two frames of a texture that moves by (dy, dx)."""
    margin = max(abs(dy), abs(dx))
    large = random_texture(height + 2 * margin, width + 2 * margin)
    first = large[..., margin : margin + height, margin : margin + width]
    second = large[..., margin - dy : margin - dy + height, margin - dx : margin - dx + width]
    return first, second


def random_call(seed: int, most_levels: int = 6) -> tuple[Tensor, Tensor, list[float], int]:
    """Two frames that have something to do with each other, of any size, with times and levels."""
    generator = torch.Generator().manual_seed(seed)
    height, width, count, levels, number = (
        int(torch.randint(low, high, (), generator=generator))
        for low, high in ((1, 60), (1, 75), (1, 3), (1, most_levels + 1), (1, 4))
    )
    first = torch.rand(count, 3, height, width, generator=generator)
    if seed % 2:  # coarser detail
        first = F.interpolate(first[..., : height // 3 + 1, : width // 3 + 1], (height, width), mode="bilinear")
    noise = torch.rand(count, 3, height, width, generator=generator)
    second = first.roll((seed % 5 - 2, seed % 7 - 3), dims=(-2, -1)) * 0.9 + noise * 0.1 * (seed % 3)
    times = torch.rand(number, generator=generator, dtype=torch.float64).tolist()
    return first, second, times, levels
