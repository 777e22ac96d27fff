"""Motion between frames: matching them, and fetching one along the way to another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: How far, in pixels of the matched maps, a position is compared along each axis.
REACH = 4


def correlate(features: Tensor) -> Tensor:
    """How well each position of a frame matches its neighbourhood in the other one.

    ``(N, C, 2, h, w)`` to ``(N, (2 * REACH + 1)**2, 2, h, w)``: cosine similarities.
    """
    height, width = features.shape[-2:]
    features = F.normalize(features, dim=1)
    other = F.pad(features.flip(2), (REACH,) * 4)
    shifts = range(2 * REACH + 1)
    scores = [(features * other[..., y : y + height, x : x + width]).sum(1) for y in shifts for x in shifts]
    return torch.stack(scores, dim=1)


def fetch(features: Tensor, motion: Tensor) -> Tensor:
    """Both frames' features ``(M, D, 2, h, w)`` along ``motion (M, 4, h, w)``: ``(M, 2D, h, w)``."""
    count, _, _, height, width = features.shape
    y = torch.arange(height, dtype=motion.dtype, device=motion.device)[:, None]
    x = torch.arange(width, dtype=motion.dtype, device=motion.device)
    motion = motion.unflatten(1, (2, 2)).flatten(0, 1)
    grid = torch.stack(
        [(x + motion[:, 1]) * (2 / max(width - 1, 1)) - 1, (y + motion[:, 0]) * (2 / max(height - 1, 1)) - 1],
        dim=-1,
    )
    images = features.transpose(1, 2).flatten(0, 1)
    fetched = F.grid_sample(images.to(grid.dtype), grid, padding_mode="border", align_corners=True)
    return fetched.unflatten(0, (count, 2)).flatten(1, 2)


def precisely(layer: nn.Conv2d | nn.ConvTranspose2d, state: Tensor) -> Tensor:
    """Apply a layer outside autocast: motion in half precision would lose its sub-pixel part."""
    with torch.autocast(state.device.type, enabled=False):
        return layer(state.to(layer.weight.dtype))
