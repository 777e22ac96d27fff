"""Temporal warping error: how much a video flickers along the motion of its content.

Lai et al., "Learning Blind Video Temporal Consistency" (ECCV 2018), section 4.2: the next frame is warped
back along the optical flow, and the squared difference is averaged over the pixels that are visible in
both. The flow is an argument, so that outputs are compared along the flow of the true frames.

Frames are ``(N, C, H, W)``; a flow is ``(N, 2, H, W)`` in pixels, (dx, dy) from a pixel of the first frame
to its place in the second.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Fetch images bilinearly along ``flow``, edges replicated: at x, the image at ``x + flow(x)``."""
    _check(images, flow)
    height, width = images.shape[-2:]
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1]
    x = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 0]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    return F.grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=False)


def visible(forward: Tensor, backward: Tensor) -> Tensor:
    """Pixels of the first frame that are seen in the second too and lie on no motion boundary.

    Ruder et al., "Artistic style transfer for videos" (GCPR 2016), section 3.

    Args:
        forward: flow from the first frame to the second.
        backward: flow from the second frame to the first.

    Returns:
        ``(N, 1, H, W)``, bool.
    """
    _check(forward, backward)
    back = warp(backward, forward)
    consistent = _square(forward + back) <= 0.01 * (_square(forward) + _square(back)) + 0.5
    gradient = sum(_square(_central(forward, axis)) for axis in (-2, -1))
    return consistent & (gradient <= 0.01 * _square(forward) + 0.002)


def warping_error(first: Tensor, second: Tensor, flow: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared difference of ``first`` and ``second`` warped back, over the pixels of ``mask``.

    Args:
        first: a frame, values in [0, 1].
        second: the next frame.
        flow: from the first frame to the second.
        mask: ``(N, 1, H, W)``, the pixels that count; all of them by default. See ``visible``.

    Returns:
        ``(N,)`` float64: the squared L2 norm over the channels, averaged; NaN where no pixel counts.
    """
    error = _square(first.double() - warp(second.double(), flow.double()))
    weight = torch.ones_like(error) if mask is None else mask.double()
    return (error * weight).sum(dim=(-3, -2, -1)) / weight.sum(dim=(-3, -2, -1))


def _check(images: Tensor, flow: Tensor) -> None:
    if flow.ndim != 4 or flow.shape[1] != 2 or images.shape[-2:] != flow.shape[-2:]:
        shapes = f"{tuple(images.shape)} and {tuple(flow.shape)}"
        raise ValueError(f"images and flow of shapes {shapes}, need (N, C, H, W) and (N, 2, H, W)")


def _square(vectors: Tensor) -> Tensor:
    return vectors.square().sum(dim=1, keepdim=True)


def _central(flow: Tensor, axis: int) -> Tensor:
    """Central differences along an axis, one-sided at the borders."""
    (gradient,) = torch.gradient(flow, dim=axis)
    return gradient
