"""Denoising without weights: the mean of seven frames along motion found by matching, then of similar neighbors.

The temporal mean is equation (3) of the LS3D-Conv paper (arXiv:2011.10974) with nothing learned: the offsets are the
motion from the middle frame to every other one, the masks come from how well the patches there agree. What noise is
left, and how much of it, is then removed by non-local means (Buades et al., CVPR 2005) within the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.models.enhancement._alignment import match_neighbors, neighbors_of, new_neighbors
from ls3d.models.enhancement._motion import frames_to_batch, warp, without_autocast
from ls3d.models.network import EnhancementTraits, RestorationNetwork, required_sigma
from ls3d.models.registry import register_model
from ls3d.ops import ls3d_conv3d

#: Frames on either side of the middle one.
_SIDE = 3

#: Distance between patches, in units of the noise and beyond what the noise explains, that divides importance by e.
_TEMPORAL_SCALE = 0.7
_SPATIAL_SCALE = 0.6

#: Radius of the patches that are compared across time, and within the frame.
_TEMPORAL_PATCH = 2
_SPATIAL_PATCH = 1

#: Largest distance along each axis to a similar neighbor.
_SEARCH = 3


class AlignedMean(RestorationNetwork):
    """Average seven frames along their motion, then similar pixels of the mean.

    Args:
        side: frames on either side of the middle one.
        spatial: whether similar pixels within the frame are averaged, too.
    """

    traits = EnhancementTraits(
        task="denoising",
        size_multiple=1,
        scale=1,
        frames_before=_SIDE,
        frames_after=_SIDE,
        takes_sigma=True,
        times=None,
        value_range=(0.0, 1.0),
    )

    def __init__(self, side: int = _SIDE, spatial: bool = True) -> None:
        super().__init__()
        self.traits = replace(self.traits, frames_before=side, frames_after=side)
        self.side = side
        self.spatial = spatial

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Denoise the middle frame.

        Args:
            frames: ``(N, 3, 2 * side + 1, H, W)``, nominally in [0, 1].
            sigma: ``(N,)``, standard deviation of the noise on the scale of the frames.

        Returns:
            ``(N, 3, 1, H, W)``.

        Raises:
            ValueError: ``sigma`` is None.
        """
        level = required_sigma(sigma)
        with without_autocast(frames.device), torch.no_grad():
            precise = frames if frames.dtype == torch.float64 else frames.float()
            motion = match_neighbors(precise, self.side)
            mean, variance = temporal_mean(precise, motion, new_neighbors(precise, self.side), level, self.side)
            if self.spatial:
                mean = spatial_mean(mean, variance)
        return mean.unsqueeze(2).to(frames.dtype)


def temporal_mean(frames: Tensor, motion: Tensor, new: Tensor, sigma: Tensor, middle: int) -> tuple[Tensor, Tensor]:
    """The mean of all new frames along the motion, weighted by how well they agree with the middle one.

    Args:
        frames: ``(N, 3, T, h, w)``.
        motion: ``(N * (T - 1), 2, h, w)``, from ``match_neighbors``.
        new: ``(N, T - 1)``, from ``new_neighbors``; the others don't count.
        sigma: ``(N,)``, standard deviation of the noise.
        middle: index of the frame at which the motion starts.

    Returns:
        The mean ``(N, 3, h, w)``, and the variance ``(N, 1, h, w)`` of the noise in it.
    """
    count = frames.shape[0]
    warped = warp(frames_to_batch(neighbors_of(frames, middle)), motion)
    noise = sigma.to(frames).square().repeat_interleave(frames.shape[2] - 1).view(-1, 1, 1, 1)
    kept = _kept_noise(motion)
    center = frames[:, :, middle].repeat_interleave(frames.shape[2] - 1, dim=0)
    distance = _patch_mean((warped - center).square().mean(1, keepdim=True), _TEMPORAL_PATCH)
    excess = distance - noise * (1 + _patch_mean(kept, _TEMPORAL_PATCH))
    importance = _importance(excess, noise, _TEMPORAL_SCALE).view(count, -1, *frames.shape[-2:])
    importance = importance * new[:, :, None, None]
    total = 1 + importance.sum(1, keepdim=True)
    masks = _insert(importance / total, 1 / total, middle)
    offsets = motion.view(count, -1, 2, *motion.shape[-2:])
    offsets = _insert(offsets, torch.zeros_like(offsets[:, :1]), middle)
    mean = _sample(frames, offsets, masks)
    kept = _insert(kept.view_as(importance), torch.ones_like(total), middle)
    variance = (masks.square() * kept).sum(1, keepdim=True) * sigma.to(frames).square().view(-1, 1, 1, 1)
    return mean, variance


def _kept_noise(motion: Tensor) -> Tensor:
    """The share ``(M, 1, h, w)`` of the noise's variance that is left in a bilinear sample at a motion."""
    part = motion - motion.floor()
    along = part.square() + (1 - part).square()
    return along[:, :1] * along[:, 1:]


def _importance(excess: Tensor, noise: Tensor, scale: float) -> Tensor:
    """``exp(-excess / (scale**2 * noise))``; without noise, 1 where patches are equal, else 0."""
    return torch.exp(-excess.clamp_min(0) / (scale**2 * noise).clamp_min(1e-12))


def _insert(maps: Tensor, map_: Tensor, index: int) -> Tensor:
    """Insert ``map_`` along the second dimension."""
    return torch.cat([maps[:, :index], map_, maps[:, index:]], dim=1)


def _sample(frames: Tensor, offsets: Tensor, masks: Tensor) -> Tensor:
    """Equation (3) with one tap in each frame ``(N, 3, T, h, w)``, clamped to the border; ``(N, 3, h, w)``."""
    height, width = frames.shape[-2:]
    y = torch.arange(height, dtype=frames.dtype, device=frames.device)[:, None]
    x = torch.arange(width, dtype=frames.dtype, device=frames.device)
    rows = (offsets[:, :, 0] + y).clamp(0, height - 1) - y
    columns = (offsets[:, :, 1] + x).clamp(0, width - 1) - x
    inside = torch.stack([rows, columns], dim=2).flatten(1, 2).unsqueeze(2)
    kernel = torch.eye(3).to(frames)[:, :, None, None, None].expand(3, 3, frames.shape[2], 1, 1)
    return ls3d_conv3d(frames, inside, masks.unsqueeze(2), kernel.contiguous())[:, :, 0]


def spatial_mean(frame: Tensor, variance: Tensor) -> Tensor:
    """Non-local means: the mean of the pixels nearby, weighted by how similar the patches around them are.

    Args:
        frame: ``(N, 3, h, w)``.
        variance: ``(N, 1, h, w)``, of the noise in it.

    Returns:
        ``(N, 3, h, w)``.
    """
    total = torch.ones_like(variance)
    sums = frame.clone()
    for here, there in _overlaps(*frame.shape[-2:]):
        first, second = frame[here], frame[there]
        noise = variance[here] + variance[there]
        distance = _patch_mean((first - second).square().mean(1, keepdim=True), _SPATIAL_PATCH)
        importance = _importance(distance - noise, noise, _SPATIAL_SCALE)
        sums[here] += importance * second
        sums[there] += importance * first
        total[here] += importance
        total[there] += importance
    return sums / total


def _overlaps(height: int, width: int) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Every part of a frame with the part that lies at one distance from it; each pair of parts once."""
    for dy in range(min(_SEARCH, height - 1) + 1):
        reach = min(_SEARCH, width - 1)
        for dx in range(-reach if dy else 1, reach + 1):
            columns = slice(max(0, -dx), width - max(0, dx)), slice(max(0, dx), width - max(0, -dx))
            yield (..., slice(0, height - dy), columns[0]), (..., slice(dy, height), columns[1])


def _patch_mean(values: Tensor, radius: int) -> Tensor:
    """Mean over a square window; beyond the border, the border."""
    return F.avg_pool2d(F.pad(values, (radius,) * 4, mode="replicate"), 2 * radius + 1, 1)


@register_model(parameters=0, input_size=(3, 7, 256, 256))
def aligned_mean(side: int = _SIDE, spatial: bool = True) -> AlignedMean:
    """Mean along motion found by matching, then of similar pixels; needs no weights."""
    return AlignedMean(side, spatial)
