"""Quality of pictures (PSNR and SSIM in their published variants, sharpness, warping error) and of classification.

* ``METRICS`` holds the published variants by name, and ``measure`` computes any of them for pictures in [0, 1].
* ``psnr``, ``ssim``, ``ssim_3d``, ``interpolation_error`` and ``absolute_error`` are the formulas behind them, in
  float64, one number per image, for values of 0 to 255.
* ``warping_error``, with ``warp`` and ``visible``, measures flicker between consecutive frames. It is not in
  ``METRICS``, because it needs the optical flow between the true frames, from a method of the caller's choice.
* ``Accuracy``, ``confusion_matrix`` and ``calibration_error`` compare the choices of a classifier with the truth.
* ``sharpness`` compares the gradients of a frame with the true ones where the picture is ``moving``. It is not in
  ``METRICS``, because it needs the two given frames, and because more than 1 is not better.

Knows no network and no file.
"""

from ls3d.metrics.accuracy import Accuracy, calibration_error, confusion_matrix
from ls3d.metrics.error import absolute_error, interpolation_error, psnr
from ls3d.metrics.sharpness import moving, sharpness
from ls3d.metrics.ssim import ssim, ssim_3d
from ls3d.metrics.temporal import visible, warp, warping_error
from ls3d.metrics.variants import METRICS, Metric, luma, measure, to_8bit

__all__ = [
    "METRICS",
    "Accuracy",
    "Metric",
    "absolute_error",
    "calibration_error",
    "confusion_matrix",
    "interpolation_error",
    "luma",
    "measure",
    "moving",
    "psnr",
    "sharpness",
    "ssim",
    "ssim_3d",
    "to_8bit",
    "visible",
    "warp",
    "warping_error",
]
