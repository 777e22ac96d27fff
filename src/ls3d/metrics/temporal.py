"""Temporal warping error: flicker of a video along the motion of its content.

Lai et al., "Learning Blind Video Temporal Consistency" (ECCV 2018), section 4.2: the next frame is warped back along
the optical flow, and the squared difference is averaged over the pixels that are visible in both frames. The flow is an
argument, so that outputs can be compared along the flow of the true frames.

Frames are ``(N, C, H, W)``; a flow is ``(N, 2, H, W)`` in pixels, (dx, dy) from a pixel of the first frame to its
position in the second.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Sample images bilinearly along a flow: the result at x is the image at ``x + flow(x)``, with replicated edges.

    Args:
        images: ``(N, C, H, W)``, any float type.
        flow: ``(N, 2, H, W)`` in pixels.

    Returns:
        ``(N, C, H, W)``.

    Raises:
        ValueError: the shapes don't fit.
    """
    _check(images, flow)
    height, width = images.shape[-2:]
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1]
    x = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 0]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    return F.grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=False)


def visible(forward: Tensor, backward: Tensor) -> Tensor:
    """Pixels of the first frame that are also visible in the second and don't lie on a motion boundary.

    Ruder et al., "Artistic style transfer for videos" (GCPR 2016), section 3.

    Args:
        forward: ``(N, 2, H, W)``, flow from the first frame to the second, in pixels.
        backward: ``(N, 2, H, W)``, flow from the second frame to the first.

    Returns:
        ``(N, 1, H, W)``, bool.

    Raises:
        ValueError: the shapes don't fit.
    """
    _check(forward, backward)
    back = warp(backward, forward)
    consistent = _square(forward + back) <= 0.01 * (_square(forward) + _square(back)) + 0.5
    gradient = sum(_square(_derivative(forward, axis)) for axis in (-2, -1))
    return consistent & (gradient <= 0.01 * _square(forward) + 0.002)


def warping_error(first: Tensor, second: Tensor, flow: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared difference between ``first`` and ``second`` warped back to it, over the pixels of ``mask``.

    Args:
        first: ``(N, C, H, W)``, values in [0, 1].
        second: ``(N, C, H, W)``, the next frame.
        flow: ``(N, 2, H, W)``, from the first frame to the second, in pixels.
        mask: ``(N, 1, H, W)``, the pixels to average over; all of them by default. See ``visible``.

    Returns:
        ``(N,)`` float64: the squared L2 norm over the channels, averaged over the pixels; NaN where the mask is empty.

    Raises:
        ValueError: the shapes don't fit.
    """
    error = _square(first.double() - warp(second.double(), flow.double()))
    weight = torch.ones_like(error) if mask is None else mask.double()
    return (error * weight).sum(dim=(-3, -2, -1)) / weight.sum(dim=(-3, -2, -1))


def _check(images: Tensor, flow: Tensor) -> None:
    if flow.ndim != 4 or flow.shape[1] != 2 or images.shape[-2:] != flow.shape[-2:]:
        shapes = f"{tuple(images.shape)} and {tuple(flow.shape)}"
        raise ValueError(f"images and flow of shapes {shapes}: expected (N, C, H, W) and (N, 2, H, W)")


def _square(vectors: Tensor) -> Tensor:
    """Squared L2 norm over the channels: ``(N, C, H, W)`` to ``(N, 1, H, W)``."""
    return vectors.square().sum(dim=1, keepdim=True)


def _derivative(flow: Tensor, axis: int) -> Tensor:
    """Central differences along an axis, one-sided at the borders; the shape stays."""
    (gradient,) = torch.gradient(flow, dim=axis)
    return gradient
