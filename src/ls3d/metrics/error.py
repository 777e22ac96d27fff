"""Errors pixel by pixel: PSNR, the interpolation error of Middlebury, and its absolute variant.

Every function takes two batches of images ``(..., C, H, W)`` in units of 8-bit values (0 to 255) and
returns one float64 number per image, of shape ``(...)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def difference(first: Tensor, second: Tensor) -> Tensor:
    """``first - second`` in float64.

    Raises:
        ValueError: the shapes differ or are not ``(..., C, H, W)``.
    """
    if first.shape != second.shape or first.ndim < 3:
        raise ValueError(f"images of shapes {tuple(first.shape)} and {tuple(second.shape)}, need twice (..., C, H, W)")
    return first.double() - second.double()


def psnr(output: Tensor, truth: Tensor, peak: float = 255.0) -> Tensor:
    """Peak signal-to-noise ratio in dB, ``10 log10(peak^2 / MSE)``, the mean taken over channels and pixels.

    Args:
        output: ``(..., C, H, W)``.
        truth: the same shape.
        peak: the largest possible value.

    Returns:
        ``(...)``; infinite where the images are equal.
    """
    mean_square = difference(output, truth).square().mean(dim=(-3, -2, -1))
    return 20 * math.log10(peak) - 10 * torch.log10(mean_square)


def interpolation_error(output: Tensor, truth: Tensor) -> Tensor:
    """Interpolation error: the root of the mean over pixels of the squared color difference.

    The color difference is the L2 norm over the channels (Baker et al., "A Database and Evaluation
    Methodology for Optical Flow", IJCV 2011, section 4.2), so RGB errors are sqrt(3) times the RMS over
    single values.
    """
    return difference(output, truth).square().sum(dim=-3).mean(dim=(-2, -1)).sqrt()


def absolute_error(output: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference: what the tables of interpolation papers print as Middlebury's IE."""
    return difference(output, truth).abs().mean(dim=(-3, -2, -1))
