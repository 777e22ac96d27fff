"""Bicubic resizing like MATLAB's ``imresize``, the "bicubic" of published super-resolution tables.

Keys' cubic kernel with a = -1/2. The kernel is stretched by the factor when an image is reduced (antialiasing). Pixel
centers are at half-integers. Borders are mirrored, with the edge pixel repeated. ``F.interpolate``, PIL and OpenCV each
differ in one of these, and a network that was trained on one kind of reduced image loses decibels on another.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor


def cubic(x: Tensor) -> Tensor:
    """Keys' cubic kernel with a = -1/2 on [-2, 2] (IEEE Trans. ASSP 29, 1981, equation 15)."""
    x = x.abs()
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, inner, torch.where(x <= 2, outer, torch.zeros_like(x)))


def resize_taps(length: int, scale: Fraction) -> tuple[Tensor, Tensor]:
    """The input pixels that each output pixel is a weighted sum of, along one axis.

    Args:
        length: number of input pixels.
        scale: output size divided by input size; the output has ``ceil(length * scale)`` pixels.

    Returns:
        ``indices`` (int64) and ``weights`` (float64, rows sum to 1), both of shape ``(output pixels, taps)``.
    """
    # For antialiasing, the kernel of a reduction is stretched over the pixels that an output pixel covers.
    factor = scale.numerator / scale.denominator
    stretch = max(1.0, 1 / factor)
    count = -(-length * scale.numerator // scale.denominator)
    center = (torch.arange(count, dtype=torch.float64) + 0.5) / factor - 0.5
    # The kernel is zero at both ends, so at most this many pixels have a weight, beginning with the first one inside.
    taps = torch.arange(math.ceil(4 * stretch), dtype=torch.float64)
    positions = torch.floor(center - 2 * stretch)[:, None] + 1 + taps
    weights = cubic((center[:, None] - positions) / stretch)
    return _mirror(positions.long(), length), weights / weights.sum(dim=1, keepdim=True)


def _mirror(indices: Tensor, length: int) -> Tensor:
    """Reflect indices at the borders: -1 is pixel 0, ``length`` is pixel ``length - 1``."""
    period = indices.new_full((), 2 * length)  # a tensor, as ONNX knows no remainder of an open size
    indices = indices % period
    return torch.minimum(indices, period - 1 - indices)


def imresize(images: Tensor, scale: Fraction | int | tuple[Fraction | int, Fraction | int]) -> Tensor:
    """Bicubic resizing with antialiasing, like MATLAB's ``imresize(images, scale)`` of floating-point values.

    Args:
        images: ``(..., H, W)``, floating point; values are neither clamped nor rounded.
        scale: output size divided by input size, for example ``4`` or ``Fraction(1, 4)``; or a pair of these, for
            height and width.

    Returns:
        ``(..., ceil(H * scale), ceil(W * scale))``, same dtype.

    Raises:
        ValueError: ``scale`` isn't positive, or ``images`` isn't floating point.
    """
    scales = scale if isinstance(scale, tuple) else (scale, scale)
    if min(scales) <= 0:
        raise ValueError(f"scale is {scale}, expected a positive number")
    if not images.is_floating_point():
        raise ValueError(f"images has dtype {images.dtype}, expected a floating-point dtype")
    for axis, factor in zip((-2, -1), scales, strict=True):
        if factor != 1:
            images = _resize_axis(images, axis, Fraction(factor))
    return images


def _resize_axis(images: Tensor, axis: int, scale: Fraction) -> Tensor:
    indices, weights = resize_taps(images.shape[axis], scale)
    indices, weights = indices.to(images.device), weights.to(images)
    shape = [-1 if dim == axis else 1 for dim in (-2, -1)]
    output = images.index_select(axis, indices[:, 0]) * weights[:, 0].view(shape)
    for tap in range(1, indices.shape[1]):
        output.addcmul_(images.index_select(axis, indices[:, tap]), weights[:, tap].view(shape))
    return output
