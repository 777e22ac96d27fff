"""Pixel-wise errors: PSNR, Middlebury's interpolation error, and its absolute variant.

Every function takes two batches of images ``(..., C, H, W)`` in units of 8-bit values (0 to 255) and returns one
float64 number per image, of shape ``(...)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def check_shapes(first: Tensor, second: Tensor) -> None:
    """Check that two batches of images have the same shape ``(..., C, H, W)``.

    Raises:
        ValueError: the shapes differ or have fewer than three dimensions.
    """
    if first.shape != second.shape or first.ndim < 3:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"images of shapes {shapes}: expected the same shape (..., C, H, W) for both")


def difference(first: Tensor, second: Tensor) -> Tensor:
    """``first - second`` in float64.

    Args:
        first: ``(..., C, H, W)``.
        second: the same shape.

    Returns:
        ``(..., C, H, W)``.

    Raises:
        ValueError: the shapes differ or have fewer than three dimensions.
    """
    check_shapes(first, second)
    return first.double() - second.double()


def psnr(output: Tensor, truth: Tensor, peak: float = 255.0) -> Tensor:
    """Peak signal-to-noise ratio, ``10 log10(peak^2 / MSE)``, with the mean over channels and pixels.

    Args:
        output: ``(..., C, H, W)``.
        truth: the same shape.
        peak: the largest possible value.

    Returns:
        ``(...)`` float64, in dB; infinite where the images are equal.

    Raises:
        ValueError: the shapes differ or have fewer than three dimensions.
    """
    mean_square = difference(output, truth).square().mean(dim=(-3, -2, -1))
    return 20 * math.log10(peak) - 10 * torch.log10(mean_square)


def interpolation_error(output: Tensor, truth: Tensor) -> Tensor:
    """Interpolation error: the root mean square over pixels of the color difference.

    The color difference is the L2 norm over the channels (Baker et al., "A Database and Evaluation Methodology for
    Optical Flow", IJCV 2011, section 4.2), so RGB errors are sqrt(3) times the RMS over single values.

    Args:
        output: ``(..., C, H, W)``.
        truth: the same shape.

    Returns:
        ``(...)`` float64, in 8-bit values.

    Raises:
        ValueError: the shapes differ or have fewer than three dimensions.
    """
    return difference(output, truth).square().sum(dim=-3).mean(dim=(-2, -1)).sqrt()


def absolute_error(output: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference, which the tables of interpolation papers list as Middlebury's IE.

    Args:
        output: ``(..., C, H, W)``.
        truth: the same shape.

    Returns:
        ``(...)`` float64, in 8-bit values.

    Raises:
        ValueError: the shapes differ or have fewer than three dimensions.
    """
    return difference(output, truth).abs().mean(dim=(-3, -2, -1))
