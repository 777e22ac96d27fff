"""Alignment of the frames around a middle frame with it, along motion found by matching."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.models.enhancement._motion import crop, frames_to_batch, warp, without_autocast
from ls3d.ops import bilateral_motion


def neighbors_of(frames: Tensor, middle: int) -> Tensor:
    """Remove frame ``middle`` of ``(N, C, T, h, w)``: ``(N, C, T - 1, h, w)``."""
    return torch.cat([frames[:, :, :middle], frames[:, :, middle + 1 :]], dim=2)


def new_neighbors(frames: Tensor, middle: int) -> Tensor:
    """Which neighbors are not repetitions: ``(N, T - 1)``, bool.

    At the ends of a clip, windows are filled with repetitions of the last frame. Their noise is that of the frame they
    repeat, so they say nothing about the middle frame that it doesn't.
    """
    repeated = (frames[:, :, 1:] == frames[:, :, :-1]).flatten(3).all(3).all(1)
    # A sum, because ONNX has no cumulative product.
    backward = repeated[:, :middle].flip(1).cumsum(1).flip(1)
    return torch.cat([backward, repeated[:, middle:].cumsum(1)], dim=1) == 0


def mirror_repetitions(frames: Tensor, new: Tensor, middle: int) -> Tensor:
    """Replace each repetition in ``(N, C, T, h, w)`` by the frame as far on the other side of the middle, if it is new.

    Args:
        frames: as many before the middle frame as after it.
        new: from ``new_neighbors``.
        middle: index of the middle frame.
    """
    usable = new.flip(1) & ~new
    keep = ~torch.cat([usable[:, :middle], torch.zeros_like(usable[:, :1]), usable[:, middle:]], dim=1)
    return torch.where(keep[:, None, :, None, None], frames, frames.flip(2))


def match_neighbors(frames: Tensor, middle: int) -> Tensor:
    """Motion from frame ``middle`` to each of the others.

    The frames are smoothed by (1, 2, 1) / 4 along both axes first; wider filters gained nothing at sigma 10 to 50.

    Args:
        frames: ``(N, 3, T, h, w)``, nominally in [0, 1].
        middle: index of the frame from which the motion starts.

    Returns:
        ``(N * (T - 1), 2, h, w)``, (dy, dx) in pixels, ordered as ``frames_to_batch(neighbors_of(frames, middle))``.
    """
    height, width = frames.shape[-2:]
    with without_autocast(frames.device):
        smooth = _smooth(frames.float())
        neighbors = frames_to_batch(neighbors_of(smooth, middle))
        start = smooth[:, :, middle].repeat_interleave(frames.shape[2] - 1, dim=0)
        motion = bilateral_motion(start, neighbors, [0.0])[:, 0]
        return crop(F.interpolate(motion, scale_factor=2, mode="bilinear"), height, width).to(frames.dtype)


def align_neighbors(frames: Tensor, motion: Tensor, middle: int) -> Tensor:
    """Warp every frame of ``(N, 3, T, h, w)`` but ``middle`` to it, along the motion of ``match_neighbors``."""
    aligned = warp(frames_to_batch(neighbors_of(frames, middle)), motion)
    neighbors = aligned.unflatten(0, (frames.shape[0], -1)).transpose(1, 2)
    return torch.cat([neighbors[:, :, :middle], frames[:, :, middle : middle + 1], neighbors[:, :, middle:]], dim=2)


def _smooth(frames: Tensor) -> Tensor:
    """Filter ``(N, C, T, h, w)`` by (1, 2, 1) / 4 along rows and columns; beyond the border, the border."""
    height, width = frames.shape[-2:]
    padded = F.pad(frames, (1, 1, 1, 1, 0, 0), mode="replicate")
    rows = padded[..., :width] + 2 * padded[..., 1 : width + 1] + padded[..., 2:]
    return (rows[..., :height, :] + 2 * rows[..., 1 : height + 1, :] + rows[..., 2:, :]) / 16
