"""Sharpness of interpolated frames where the picture moves, relative to the true frame.

PSNR prefers a blurred frame to a sharp one that is slightly displaced, so it should be read together with this ratio.
A blend of two frames is not blurred but double, so its sharpness is not low: compare methods of similar PSNR only.

Images are ``(..., C, H, W)`` in units of 8-bit values.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.metrics.error import check_shapes, difference


def sharpness(output: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean gradient magnitude of an image divided by that of the true image; 1 is as sharp as the truth.

    The gradient is that of forward differences, zero beyond the last row and column.

    Args:
        output: ``(..., C, H, W)``.
        truth: the same shape.
        mask: ``(..., 1, H, W)``, bool: the pixels to average over; all of them by default. See ``moving``.

    Returns:
        ``(...)`` float64; NaN where the mask is empty or the true image is flat in it.

    Raises:
        ValueError: the shapes differ or have fewer than three dimensions.
    """
    check_shapes(output, truth)
    gradients = [_gradient(image) * (1 if mask is None else mask) for image in (output, truth)]
    ours, theirs = (gradient.sum(dim=(-3, -2, -1)) for gradient in gradients)
    return torch.where(theirs > 0, ours / theirs, torch.nan)


def moving(first: Tensor, second: Tensor, threshold: float = 10.0) -> Tensor:
    """Pixels at which two frames differ, where frames between them are hard to make.

    Args:
        first: ``(..., C, H, W)``.
        second: the same shape.
        threshold: the difference of at least one channel, in 8-bit values, that must be exceeded.

    Returns:
        ``(..., 1, H, W)``, bool.

    Raises:
        ValueError: the shapes differ or have fewer than three dimensions.
    """
    return difference(first, second).abs().amax(dim=-3, keepdim=True) > threshold


def _gradient(images: Tensor) -> Tensor:
    """Gradient magnitude, of the same shape, float64."""
    values = images.double()
    down = F.pad(values.diff(dim=-2), (0, 0, 0, 1))
    right = F.pad(values.diff(dim=-1), (0, 1))
    return torch.hypot(down, right)
