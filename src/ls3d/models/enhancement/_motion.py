"""Motion between frames: local correlation of feature maps, warping along motion, convolutions in full precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Largest displacement along each axis at which two maps are compared, in pixels of the maps.
CORRELATION_RADIUS = 4

#: Number of displacements that ``correlate`` compares.
DISPLACEMENTS = (2 * CORRELATION_RADIUS + 1) ** 2


def correlate(features: Tensor, others: Tensor, border: str = "constant") -> Tensor:
    """Compare each position of a map with its neighborhood in another map.

    Args:
        features: ``(N, C, ..., h, w)``.
        others: the same shape.
        border: what lies beyond the border: zeros for "constant", the border itself for "replicate".

    Returns:
        Cosine similarities ``(N, DISPLACEMENTS, ..., h, w)``, for displacements (dy, dx) in row-major order.
    """
    height, width = features.shape[-2:]
    features = F.normalize(features, dim=1)
    padded = F.pad(F.normalize(others, dim=1), (CORRELATION_RADIUS,) * 4, mode=border)
    shifts = range(2 * CORRELATION_RADIUS + 1)
    scores = [(features * padded[..., y : y + height, x : x + width]).sum(1) for y in shifts for x in shifts]
    return torch.stack(scores, dim=1)


def warp(images: Tensor, motion: Tensor) -> Tensor:
    """Sample images along motion, bilinearly; positions outside are clamped to the border.

    Args:
        images: ``(M, C, h, w)``.
        motion: ``(M, 2, h, w)``, (dy, dx) in pixels.

    Returns:
        ``(M, C, h, w)``, in the dtype of ``motion``: the image at ``position + motion``.
    """
    height, width = images.shape[-2:]
    y = torch.arange(height, dtype=motion.dtype, device=motion.device)[:, None]
    x = torch.arange(width, dtype=motion.dtype, device=motion.device)
    grid = torch.stack(
        [(x + motion[:, 1]) * (2 / max(width - 1, 1)) - 1, (y + motion[:, 0]) * (2 / max(height - 1, 1)) - 1],
        dim=-1,
    )
    return F.grid_sample(images.to(grid.dtype), grid, padding_mode="border", align_corners=True)


def crop(maps: Tensor, height: int, width: int, top: int = 0) -> Tensor:
    """Rows from ``top`` on and the first columns of ``maps (..., h, w)``: ``(..., height, width)``."""
    if not torch.compiler.is_compiling():
        return maps[..., top : top + height, :width]
    # Copies, as the strides of a part would tie a graph to even sizes, of which the part is the whole, or to odd ones.
    rows = torch.arange(top, top + height, device=maps.device)
    return maps.index_select(-2, rows).index_select(-1, torch.arange(width, device=maps.device))


def two_convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    """Make two 3x3 convolutions with leaky ReLUs: ``(M, in_channels, h, w)`` to ``(M, out_channels, h, w)``."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
    )


def frames_to_batch(frames: Tensor) -> Tensor:
    """Reshape ``(N, C, T, h, w)`` to ``(N*T, C, h, w)``."""
    return frames.transpose(1, 2).flatten(0, 1)


def upsample_motion(motion: Tensor) -> Tensor:
    """Convert motion ``(M, 2k, h, w)`` to ``(M, 2k, 2h, 2w)``, in pixels of the larger size."""
    return 2 * F.interpolate(motion, scale_factor=2, mode="bilinear", align_corners=False)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Disable autocast for motion, whose sub-pixel part half precision can't represent.

    The meta device, on which operations are counted, doesn't support autocast.
    """
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def in_full_precision(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """Apply a layer without autocast, in the dtype of its weights."""
    with without_autocast(x.device):
        output: Tensor = layer(x.to(layer.weight.dtype))
    return output
