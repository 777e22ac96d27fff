"""How noisy a frame is.

J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2), 1996: the
picture is filtered with the difference of two Laplacians, which is blind to edges and ramps; here the median
of the magnitudes stands in for their mean, so that texture counts less.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_MEDIAN_OF_MAGNITUDES = 0.6745  # of a standard normal variable
_GAIN = 6.0  # root of the sum of the squares of the filter's taps


def estimate_sigma(frame: Tensor) -> float:
    """Standard deviation of the white Gaussian noise in ``(3, H, W)``, in its own units; 0 below 3 x 3."""
    if min(frame.shape[-2:]) < 3:
        return 0.0
    taps = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]).to(frame)
    response = F.conv2d(frame[:, None], taps[None, None])
    return float(response.abs().median() / (_MEDIAN_OF_MAGNITUDES * _GAIN))
