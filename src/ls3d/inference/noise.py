"""Estimating the noise level of a frame.

J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2), 1996: the frame is
filtered with the difference of two Laplacians, whose response to edges and ramps is small. The median of the magnitudes
replaces the paper's mean, which reduces the influence of texture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_MEDIAN_OF_MAGNITUDES = 0.6745  # of a standard normal variable
_GAIN = 6.0  # square root of the sum of the squared filter taps


def estimate_sigma(frame: Tensor) -> float:
    """Standard deviation of white Gaussian noise in a frame.

    Args:
        frame: ``(3, H, W)``, in any units.

    Returns:
        In the same units; 0 if the frame is smaller than 3 x 3 pixels.
    """
    if min(frame.shape[-2:]) < 3:
        return 0.0
    taps = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]).to(frame)
    response = F.conv2d(frame[:, None], taps[None, None])
    return float(response.abs().median() / (_MEDIAN_OF_MAGNITUDES * _GAIN))
