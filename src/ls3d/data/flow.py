"""Optical flow between frames, by OpenCV."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ls3d.data.clips import Pixels
from ls3d.errors import InputError, require

#: DIS (arXiv:1603.03590, preset "medium"), or Farneback (SCIA 2003).
FlowMethod = Literal["dis", "farneback"]

#: Displacements (x, y) in pixels.
Flow = npt.NDArray[np.float32]

_SMALLEST = 16  # pixels; DIS fails on smaller frames


def compute_flow(frames: Pixels, method: FlowMethod = "dis") -> Flow:
    """Compute the flow from each frame to the next one.

    Args:
        frames: ``(T + 1, H, W, 3)`` RGB, at least 16 x 16 pixels.
        method: see ``FlowMethod``.

    Returns:
        ``(T, H, W, 2)``: the displacements (x, y) in pixels, to the right and downwards. Equal frames have none.

    Raises:
        InputError: the method is unknown, or the frames are too small.
        MissingExtraError: OpenCV is not installed.
    """
    if method not in get_args(FlowMethod):
        raise InputError(f"{method}: expected {' or '.join(get_args(FlowMethod))}", argument="method")
    height, width = frames.shape[1:3]
    if min(height, width) < _SMALLEST:
        raise InputError(f"frames of {width} x {height} pixels are too small for optical flow, expected {_SMALLEST}")
    require("cv2", "flow")
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # results depend on the number of threads
    try:
        calculate = _calculator(cv2, method)
        grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        still = np.zeros((height, width, 2), np.float32)
        return np.stack(
            [still if np.array_equal(first, second) else calculate(first, second) for first, second in pairwise(grays)]
        )
    finally:
        cv2.setNumThreads(threads)


def _calculator(cv2: Any, method: FlowMethod) -> Callable[[Any, Any], Flow]:
    """The function that maps two gray frames ``(H, W)`` to their flow ``(H, W, 2)``."""
    if method == "dis":
        dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        return lambda first, second: dis.calc(first, second, None)
    # OpenCV's own example: half the size at each of 3 levels, windows of 15 pixels, 3 iterations, 5 pixels, 1.2.
    return lambda first, second: cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 3, 5, 1.2, 0)


def flow_colors(flow: Flow, largest: float) -> Pixels:
    """Show flow as colors: the hue is the direction, the saturation the length.

    Args:
        flow: ``(..., 2)``.
        largest: length in pixels that has full saturation.

    Returns:
        ``(..., 3)`` RGB; white is no motion.
    """
    angle = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi)
    saturation = np.clip(np.hypot(flow[..., 0], flow[..., 1]) / largest, 0, 1)
    hue = np.stack([np.abs((angle + shift) % 1 * 6 - 3) - 1 for shift in (0, 2 / 3, 1 / 3)], axis=-1)
    colors = 1 - saturation[..., None] * (1 - np.clip(hue, 0, 1))
    shown: Pixels = np.rint(255 * colors).astype(np.uint8)
    return shown
