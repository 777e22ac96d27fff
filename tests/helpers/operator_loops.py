"""Equation (3) of the LS3D paper in plain loops over float64 arrays: slow, and close to the formula."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def bilinear(frame: Array, y: float, x: float) -> float:
    """One sample of ``frame (H, W)``: zero unless -1 < y < H and -1 < x < W, corners outside are zero."""
    height, width = frame.shape
    if not (-1 < y < height and -1 < x < width):
        return 0.0
    total, top, left = 0.0, math.floor(y), math.floor(x)
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            total += (1 - abs(y - row)) * (1 - abs(x - column)) * frame[row, column]
    return total


def bicubic(frame: Array, y: float, x: float) -> float:
    """One sample of ``frame (H, W)`` with the cubic kernel of Keys 1981, a = -0.75; pixels outside are zero."""
    total, (height, width) = 0.0, frame.shape
    if math.isfinite(y) and math.isfinite(x):
        top, left = math.floor(y) - 1, math.floor(x) - 1
        for row, column in itertools.product(range(top, top + 4), range(left, left + 4)):
            if 0 <= row < height and 0 <= column < width:
                total += cubic(abs(y - row)) * cubic(abs(x - column)) * frame[row, column]
    return total


def cubic(distance: float) -> float:
    """Equation (4) of Keys 1981, with a for -1/2."""
    a = -0.75
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a if distance < 2 else 0.0


def conv3d(
    input: Array,
    offset: Array,
    mask: Array | None,
    weight: Array,
    bias: Array | None,
    stride: tuple[int, int, int],
    padding: tuple[int, int, int],
    dilation: tuple[int, int, int],
    groups: int,
    interpolation: str = "bilinear",
) -> Array:
    """The output, one sample at a time."""
    sample = {"bilinear": bilinear, "bicubic": bicubic}[interpolation]
    batch, channels, frames = input.shape[:3]
    out_channels, group_channels, *kernel = weight.shape
    taps = math.prod(kernel)
    share = channels // (offset.shape[1] // (2 * taps))
    output = np.zeros((batch, out_channels, *offset.shape[2:]))
    output += 0 if bias is None else bias[:, None, None, None]
    outputs = output.reshape(batch, groups, out_channels // groups, *offset.shape[2:])
    weights = weight.reshape(groups, out_channels // groups, *weight.shape[1:])
    for n, g, t, h, w in np.ndindex(batch, groups, *offset.shape[2:]):
        for c, a, i, j in np.ndindex(group_channels, *kernel):
            frame = t * stride[0] + a * dilation[0] - padding[0]
            if not 0 <= frame < frames:
                continue
            channel = g * group_channels + c
            number = channel // share * taps + (a * kernel[1] + i) * kernel[2] + j
            y = h * stride[1] + i * dilation[1] - padding[1] + offset[n, 2 * number, t, h, w]
            x = w * stride[2] + j * dilation[2] - padding[2] + offset[n, 2 * number + 1, t, h, w]
            strength = 1.0 if mask is None else mask[n, number, t, h, w]
            outputs[n, g, :, t, h, w] += strength * weights[g, :, c, a, i, j] * sample(input[n, channel, frame], y, x)
    return output
