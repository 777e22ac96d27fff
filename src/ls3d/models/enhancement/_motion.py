"""Motion between frames: matching them, and fetching one along the way to another."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: How far, in pixels of the matched maps, a position is compared along each axis.
REACH = 4


def correlate(features: Tensor, others: Tensor) -> Tensor:
    """How well each position of a map matches its neighborhood in another one.

    Args:
        features: ``(N, C, ..., h, w)``.
        others: the same shape.

    Returns:
        ``(N, (2 * REACH + 1)**2, ..., h, w)``: cosine similarities, displacements in the order of rows.
    """
    height, width = features.shape[-2:]
    features, others = F.normalize(features, dim=1), F.normalize(others, dim=1)
    padded = F.pad(others, (REACH,) * 4)
    shifts = range(2 * REACH + 1)
    scores = [(features * padded[..., y : y + height, x : x + width]).sum(1) for y in shifts for x in shifts]
    return torch.stack(scores, dim=1)


def fetch(images: Tensor, motion: Tensor) -> Tensor:
    """Sample ``images (M, C, h, w)`` along ``motion (M, 2, h, w)``, (dy, dx) in pixels; beyond the edge, the edge."""
    height, width = images.shape[-2:]
    y = torch.arange(height, dtype=motion.dtype, device=motion.device)[:, None]
    x = torch.arange(width, dtype=motion.dtype, device=motion.device)
    grid = torch.stack(
        [(x + motion[:, 1]) * (2 / max(width - 1, 1)) - 1, (y + motion[:, 0]) * (2 / max(height - 1, 1)) - 1],
        dim=-1,
    )
    return F.grid_sample(images.to(grid.dtype), grid, padding_mode="border", align_corners=True)


def mix(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two convolutions that make a level's state of everything known there: ``(M, C, h, w)`` to ``(M, D, h, w)``."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
    )


def merge_time(frames: Tensor) -> Tensor:
    """``(N, C, T, h, w)`` to ``(N*T, C, h, w)``."""
    return frames.transpose(1, 2).flatten(0, 1)


def enlarge(motion: Tensor) -> Tensor:
    """A motion map of one level as that of the next, twice as large; pixels count double there."""
    return 2 * F.interpolate(motion, scale_factor=2, mode="bilinear", align_corners=False)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Motion in half precision would lose its sub-pixel part. The meta device, on which cost is counted, has none."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def precisely(layer: nn.Conv2d | nn.ConvTranspose2d, state: Tensor) -> Tensor:
    """Apply a layer outside autocast, in its own precision."""
    with without_autocast(state.device):
        return layer(state.to(layer.weight.dtype))
