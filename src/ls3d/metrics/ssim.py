"""Structural similarity (Wang et al., IEEE TIP 13, 2004) in the two published variants.

Both use a Gaussian window of 11 pixels with sigma 1.5, C1 = (0.01 peak)^2 and C2 = (0.03 peak)^2. ``ssim`` is that of
super-resolution papers: each channel separately, only where the window lies inside the picture. ``ssim_3d`` is that of
interpolation and denoising papers, MATLAB's ``ssim`` of an H x W x 3 array: the window is a three-dimensional Gaussian,
color being the third dimension, and the borders are replicated.

Images are ``(..., C, H, W)`` in units of 8-bit values; the result is one float64 number per image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.metrics.error import check_shapes

WINDOW = 11  # pixels
SIGMA = 1.5  # pixels


def gaussian(size: int, sigma: float) -> Tensor:
    """A Gaussian of standard deviation ``sigma`` that sums to 1, ``(size,)`` float64."""
    distance = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-distance.square() / (2 * sigma**2))
    return weights / weights.sum()


def ssim(output: Tensor, truth: Tensor, peak: float = 255.0) -> Tensor:
    """SSIM of super-resolution papers: the mean over channels and over all windows inside the picture.

    Args:
        output: ``(..., C, H, W)``.
        truth: the same shape.
        peak: the largest possible value.

    Returns:
        ``(...)`` float64, at most 1.

    Raises:
        ValueError: the shapes differ or have fewer than three dimensions, or a picture is smaller than the window.
    """
    check_shapes(output, truth)
    if min(output.shape[-2:]) < WINDOW:
        size = f"{output.shape[-1]} x {output.shape[-2]}"
        raise ValueError(f"images of {size} pixels: SSIM needs at least {WINDOW} x {WINDOW}")
    return _similarity(output.double(), truth.double(), _smooth, peak).mean(dim=(-3, -2, -1))


def ssim_3d(output: Tensor, truth: Tensor, peak: float = 255.0) -> Tensor:
    """SSIM of interpolation papers: MATLAB's ``ssim`` with color as the third dimension and replicated borders.

    Args:
        output: ``(..., C, H, W)``.
        truth: the same shape.
        peak: the largest possible value.

    Returns:
        ``(...)`` float64, at most 1.

    Raises:
        ValueError: the shapes differ or have fewer than three dimensions.
    """
    check_shapes(output, truth)
    return _similarity(output.double(), truth.double(), _smooth_3d, peak).mean(dim=(-3, -2, -1))


def _similarity(x: Tensor, y: Tensor, smooth: Callable[[Tensor], Tensor], peak: float) -> Tensor:
    """Equation (13) of Wang et al., with ``smooth`` as the local mean: one value per window."""
    c1 = (0.01 * peak) ** 2
    c2 = (0.03 * peak) ** 2
    mean_x = smooth(x)
    mean_y = smooth(y)
    variances = smooth(x * x) - mean_x.square() + smooth(y * y) - mean_y.square()
    covariance = smooth(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance * (2 * covariance + c2) / (variances + c2)


def _smooth(images: Tensor) -> Tensor:
    """Gaussian filter over height and width, without padding: ``(..., C, H - 10, W - 10)``."""
    weights = gaussian(WINDOW, SIGMA)
    for axis in (-2, -1):
        images = _convolve(images, weights, axis)
    return images


def _smooth_3d(images: Tensor) -> Tensor:
    """Gaussian filter over channels, height and width, with replicated borders: ``(..., C, H, W)``."""
    half = WINDOW // 2
    batch = images.shape[:-3]
    padded = F.pad(images.reshape(-1, 1, *images.shape[-3:]), (half,) * 6, mode="replicate")
    weights = gaussian(WINDOW, SIGMA)
    for axis in (-3, -2, -1):
        padded = _convolve(padded, weights, axis)
    return padded.reshape(*batch, *images.shape[-3:])


def _convolve(images: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Correlate along one axis, without padding. A sum of shifted copies is faster than float64 convolution on CPUs."""
    length = images.shape[axis] - len(weights) + 1
    output = images.narrow(axis, 0, length) * weights[0].item()
    for tap in range(1, len(weights)):
        output.add_(images.narrow(axis, tap, length), alpha=weights[tap].item())
    return output
