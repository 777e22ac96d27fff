"""``bilateral_motion`` as standard operations, for graphs whose height and width are open.

The same computation as :mod:`ls3d.ops.backends.reference_motion`, with few nodes, as exporters and runtimes need time
for each: all times, both frames and all candidates of a search are in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.ops._motion_plan import (
    MEAN_RADIUS,
    NEIGHBOR,
    PENALTY,
    SHARE,
    TOLERANCE,
    WINDOW_RADIUS,
    rest_radii,
    search_radii,
)
from ls3d.ops.backends.reference_motion import vertex


@dataclass(frozen=True)
class _Level:
    """A level of the pyramids, for T times.

    Attributes:
        features: ``(2 * T * N, 6, h, w)``, those of the first frame for every time, then those of the second one.
        shares: ``(2 * T * N, 1, 1, 1, 1)``, the part of the motion that leads into the frame.
        positions: ``(h, w, 2)``, x and y of the pixels as ``F.grid_sample`` counts them.
        pixel: ``(2)``, the width and height of a pixel, counted so.
    """

    features: Tensor
    shares: Tensor
    positions: Tensor
    pixel: Tensor


def bilateral_motion(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> Tensor:
    """The motion ``(N, len(times), 2, h, w)``; shapes as in :func:`ls3d.ops.bilateral_motion`."""
    pyramid = _pyramid(first.float(), second.float(), times, levels)
    rows = pyramid[0].features.shape[0] // 2
    motion = pyramid[0].features[:rows, :2] * 0
    radii = zip(search_radii(levels), rest_radii(levels), strict=True)
    for number, (level, (radius, rest_radius)) in enumerate(zip(pyramid, radii, strict=True)):
        if number:
            motion = _select(level, _enlarge(motion, level.features))
        motion = _search(level, motion, radius)
        if rest_radius:
            motion = _prefer_rest(level, motion, _search(level, torch.zeros_like(motion), rest_radius))
        motion = _median(motion)
    by_time: Tensor = motion.unflatten(0, (len(times), first.shape[0]))
    return by_time.transpose(0, 1) * 2


def _pyramid(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> list[_Level]:
    """All levels, the coarsest first."""
    count = first.shape[0]
    parts = [-time for time in times] + [1 - time for time in times]
    shares = torch.cat([first.new_full((count, 1, 1, 1, 1), part) for part in parts])
    images = [_half(torch.cat([first, second]))]
    while len(images) < levels:
        images.append(_half(images[-1]))
    images.reverse()
    mean = images[0].mean((2, 3), keepdim=True)
    contrast = (images[0] - mean).abs().mean((1, 2, 3), keepdim=True).unflatten(0, (2, count))
    total = contrast.sum(0)
    gain = torch.where(total > 0, contrast.flip(0) * 2 / torch.where(total > 0, total, 1.0), 1.0).flatten(0, 1)
    return [_level(image, mean, gain, shares, len(times)) for image in images]


def _half(image: Tensor) -> Tensor:
    """The mean of each 2x2 pixels; an odd last row or column is repeated."""
    for dim in (2, 3):
        size = image.shape[dim]
        pixels = torch.arange(2 * ((size + 1) // 2), device=image.device).clamp(max=size - 1)
        image = image.index_select(dim, pixels)
    return F.avg_pool2d(image, 2)


def _level(image: Tensor, mean: Tensor, gain: Tensor, shares: Tensor, times: int) -> _Level:
    """A level of both frames: what is compared are the colors without their local mean and without the frame's."""
    height, width = image.shape[-2:]
    features = torch.cat([image - _box_mean(image, MEAN_RADIUS), image - mean], dim=1) * gain
    features = features.unflatten(0, (2, 1, -1)).expand(-1, times, -1, -1, -1, -1).flatten(0, 2)
    y = (2 * torch.arange(height, dtype=image.dtype, device=image.device) + 1) / height - 1
    x = (2 * torch.arange(width, dtype=image.dtype, device=image.device) + 1) / width - 1
    positions = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)
    two = image.new_full((1,), 2.0)
    pixel = torch.cat([two / width, two / height])
    return _Level(features, shares, positions, pixel)


def _enlarge(motion: Tensor, like: Tensor) -> Tensor:
    """Motion of the next level, twice as large: bilinear, cropped to the size of ``like``."""
    height, width = like.shape[-2:]
    return F.interpolate(motion, scale_factor=2.0, mode="bilinear")[..., :height, :width] * 2


def _select(level: _Level, motion: Tensor) -> Tensor:
    """The best of a position's own motion, its four neighbors' and none."""
    height, width = motion.shape[-2:]
    padded = F.pad(motion, (NEIGHBOR,) * 4, mode="replicate")
    starts = [(y * NEIGHBOR, x * NEIGHBOR) for y, x in ((0, 1), (2, 1), (1, 0), (1, 2))]
    neighbors = [padded[..., y : y + height, x : x + width] for y, x in starts]
    candidates = torch.stack([motion, *neighbors, torch.zeros_like(motion)], dim=1)
    costs = _costs(level, candidates) + (candidates - motion.unsqueeze(1)).abs().sum(2) * PENALTY
    best = costs.min(dim=1, keepdim=True).indices
    return candidates.gather(1, best.unsqueeze(2).expand(-1, -1, 2, -1, -1))[:, 0]


def _search(level: _Level, center: Tensor, radius: int) -> Tensor:
    """The best motion on a grid around ``center``, with the sub-pixel part from a parabola along each axis."""
    side = 2 * radius + 1
    number = torch.arange(side**2, device=center.device)  # torch.tensor can't be traced here
    steps = torch.stack([number // side, number % side], dim=1) - radius
    shifts = steps.to(center.dtype)
    costs = _costs(level, center.unsqueeze(1) + shifts[:, :, None, None])
    costs = costs + (shifts.abs().sum(1) * PENALTY)[:, None, None]
    best, index = costs.min(dim=1, keepdim=True)
    chosen = index[:, 0]
    # the candidates before and after along y and x; at the edge of the grid, the candidate itself
    inside = (steps.abs() < radius).long()
    distance = torch.stack([inside[:, 0] * side, inside[:, 1]], dim=1)
    near = torch.cat([number[:, None] - distance, number[:, None] + distance], dim=1)
    near_costs = costs.gather(1, near[chosen].movedim(-1, 1))
    return center + (shifts[chosen].movedim(-1, 1) + vertex(near_costs[:, :2], best, near_costs[:, 2:]))


def _prefer_rest(level: _Level, motion: Tensor, small: Tensor) -> Tensor:
    """The best motion around none, where it is smaller than ``motion`` and costs no more."""
    candidates = torch.stack([small, motion], dim=1)
    costs = _costs(level, candidates)
    lengths = candidates.abs().sum(2)
    chosen = (costs[:, :1] < costs[:, 1:] * SHARE + TOLERANCE) & (lengths[:, :1] < lengths[:, 1:])
    return torch.where(chosen, small, motion)


def _costs(level: _Level, motions: Tensor) -> Tensor:
    """Mean difference ``(T * N, K, h, w)`` of the two frames along ``motions (T * N, K, 2, h, w)``."""
    height = motions.shape[-2]
    shifts = motions.flip(2).movedim(2, -1) * level.pixel
    grid = level.positions + torch.cat([shifts, shifts]) * level.shares
    samples = F.grid_sample(level.features, grid.flatten(1, 2), padding_mode="border", align_corners=False)
    first, second = samples.unflatten(2, (-1, height)).unflatten(0, (2, -1))
    return _box_mean((first - second).abs().mean(1), WINDOW_RADIUS)


def _box_mean(values: Tensor, radius: int) -> Tensor:
    """Mean over a square window; beyond the edge, the edge."""
    return F.avg_pool2d(F.pad(values, (radius,) * 4, mode="replicate"), 2 * radius + 1, 1)


def _median(motion: Tensor) -> Tensor:
    """The 3x3 median of each component; beyond the edge, the edge."""
    height, width = motion.shape[-2:]
    padded = F.pad(motion, (1,) * 4, mode="replicate")
    rows = torch.stack([padded[..., y : y + height, :] for y in range(3)])
    window = torch.cat([rows[..., x : x + width] for x in range(3)])
    middle: Tensor = window.topk(5, dim=0, largest=False).values[4]
    return middle
