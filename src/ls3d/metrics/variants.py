"""The published variants of the metrics, by name: which channel, rounded or not, which formula.

Numbers are comparable only within a variant: for the same pictures they differ by more than a decibel between RGB and
Y, and by tenths of a decibel with and without rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ls3d.metrics.error import absolute_error, interpolation_error, psnr
from ls3d.metrics.ssim import ssim, ssim_3d


@dataclass(frozen=True)
class Metric:
    """One variant of a metric.

    Attributes:
        compute: maps output and truth, ``(N, C, H, W)`` each in units of 8-bit values, to ``(N,)`` numbers.
        channel: ``"rgb"``, or ``"y"`` for BT.601 limited-range luma, computed from RGB and not rounded.
        rounded: whether RGB values are rounded to 8 bits first. They are clamped to the range in any case.
        description: a phrase for reports.
        higher_is_better: whether a larger number means a better picture.
        unit: ``"dB"``, or empty for numbers without a unit.
    """

    compute: Callable[[Tensor, Tensor], Tensor]
    channel: Literal["rgb", "y"]
    rounded: bool
    description: str
    higher_is_better: bool = True
    unit: str = ""

    def __call__(self, output: Tensor, truth: Tensor, crop: int = 0) -> Tensor:
        """Compute the metric.

        Args:
            output: RGB pictures ``(N, 3, H, W)`` with values in [0, 1].
            truth: the same shape.
            crop: pixels ignored at each border.

        Returns:
            ``(N,)`` float64.
        """
        return self.compute(self._prepare(output, crop), self._prepare(truth, crop))

    def _prepare(self, images: Tensor, crop: int) -> Tensor:
        height, width = images.shape[-2:]
        images = images[..., crop : height - crop, crop : width - crop].double().clamp(0, 1) * 255
        images = _round(images) if self.rounded else images
        return luma(images) if self.channel == "y" else images


METRICS: dict[str, Metric] = {
    "psnr-rgb": Metric(psnr, "rgb", True, "PSNR over RGB, rounded to 8 bit", unit="dB"),
    "psnr-rgb-float": Metric(psnr, "rgb", False, "PSNR over RGB, not rounded", unit="dB"),
    "psnr-y": Metric(psnr, "y", True, "PSNR of Y (BT.601, limited range) from 8-bit RGB", unit="dB"),
    "ssim-rgb": Metric(ssim, "rgb", True, "SSIM per RGB channel, 11 x 11 valid windows"),
    "ssim-y": Metric(ssim, "y", True, "SSIM of Y (BT.601, limited range), 11 x 11 valid windows"),
    "ssim-3d": Metric(ssim_3d, "rgb", True, "MATLAB's SSIM of the RGB volume, rounded to 8 bit"),
    "ssim-3d-float": Metric(ssim_3d, "rgb", False, "MATLAB's SSIM of the RGB volume, not rounded"),
    "ie": Metric(
        interpolation_error,
        "rgb",
        True,
        "interpolation error (RMS of the color difference)",
        higher_is_better=False,
    ),
    "ie-abs": Metric(absolute_error, "rgb", True, "mean absolute difference, rounded to 8 bit", higher_is_better=False),
}


def measure(names: Iterable[str], output: Tensor, truth: Tensor, crop: int = 0) -> dict[str, Tensor]:
    """Compute several metrics.

    Args:
        names: keys of ``METRICS``.
        output: RGB pictures ``(N, 3, H, W)`` with values in [0, 1]; values outside are clamped.
        truth: the same shape.
        crop: pixels ignored at each border.

    Returns:
        For each name, ``(N,)`` float64.

    Raises:
        ValueError: a name is unknown, or the shapes differ.
    """
    return {name: _metric(name)(output, truth, crop) for name in names}


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise ValueError(f"metric {name!r}: expected one of {', '.join(METRICS)}")
    return METRICS[name]


def to_8bit(images: Tensor) -> Tensor:
    """Quantize values in [0, 1] to 8 bits.

    Args:
        images: any shape, any float type; values outside [0, 1] are clamped.

    Returns:
        The same shape, uint8.
    """
    return _round(images.clamp(0, 1).double() * 255).to(torch.uint8)


def _round(values: Tensor) -> Tensor:
    """Round half to even, treating values within float32 rounding error of a half as halves.

    Every second mean of two 8-bit values is a half. Otherwise rounding errors in the last bit would decide its
    direction, which changes the PSNR of an averaging baseline by 0.03 dB.
    """
    return ((values * 4096).round() / 4096).round()


def luma(images: Tensor) -> Tensor:
    """Luma Y' of BT.601 in limited range, 16 to 235, as MATLAB's ``rgb2ycbcr`` but not rounded.

    Args:
        images: RGB ``(..., 3, H, W)`` in units of 8-bit values.

    Returns:
        ``(..., 1, H, W)``, float64.
    """
    red, green, blue = images.double().unbind(-3)
    return ((65.481 * red + 128.553 * green + 24.966 * blue) / 255 + 16).unsqueeze(-3)
