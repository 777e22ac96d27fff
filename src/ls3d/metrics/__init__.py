"""How good a picture is: PSNR and SSIM by published variant, interpolation and warping error.
error.

``METRICS`` names the variants and ``measure`` computes any of them for pictures in [0, 1]; the functions
behind them work on values of 0 to 255, in float64, image by image. Knows no network and no file.
"""

from ls3d.metrics.error import absolute_error, interpolation_error, psnr
from ls3d.metrics.ssim import ssim, ssim_3d
from ls3d.metrics.temporal import visible, warp, warping_error
from ls3d.metrics.variants import METRICS, Metric, luma, measure, to_8bit

__all__ = [
    "METRICS",
    "Metric",
    "absolute_error",
    "interpolation_error",
    "luma",
    "measure",
    "psnr",
    "ssim",
    "ssim_3d",
    "to_8bit",
    "visible",
    "warp",
    "warping_error",
]
