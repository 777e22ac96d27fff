"""``bilateral_motion`` as standard operations, for graphs whose height and width are open.

The same computation as :mod:`ls3d.ops.backends.reference_motion`, with few nodes, as exporters and runtimes need time
for each: all times, both frames and all candidates of a search are in one batch. Sums are in the order of the
reference, so that runtimes which calculate as written find the same minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ls3d.ops._motion_plan import PENALTY, SHARE, TOLERANCE, rest_radii, search_radii
from ls3d.ops.backends.reference_motion import (
    color_statistics,
    contrast_gain,
    enlarge,
    features,
    length,
    mean_difference,
    neighbors,
    pad,
    sample,
    vertex,
)


@dataclass(frozen=True)
class _Level:
    """A level of the pyramids, for T times.

    Attributes:
        pixels: of both frames, ``(2 * N * h * w, 6)``.
        starts: ``(2 * T * N, 1, 1, 1)``, indices of the first pixel of the first frame for every time, then of the
            second one.
        shares: ``(2 * T * N, 1, 1, 1, 1)``, the part of the motion that leads into the frame.
    """

    pixels: Tensor
    starts: Tensor
    shares: Tensor


def bilateral_motion(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> Tensor:
    """The motion ``(N, len(times), 2, h, w)``; shapes as in :func:`ls3d.ops.bilateral_motion`."""
    count = first.shape[0]
    images = [_half(torch.cat([first, second]).float())]
    while len(images) < levels:
        images.append(_half(images[-1]))
    images.reverse()
    mean, contrast = color_statistics(images[0])
    gain = contrast_gain(contrast, contrast.unflatten(0, (2, count)).flip(0).flatten(0, 1))
    parts = [-time for time in times] + [1 - time for time in times]
    shares = torch.cat([gain.new_full((count, 1, 1, 1, 1), part) for part in parts])
    height, width = images[0].shape[-2:]
    motion = first.new_zeros(len(times) * count, 2, height, width, dtype=torch.float32)
    radii = zip(search_radii(levels), rest_radii(levels), strict=True)
    for number, (image, (radius, rest_radius)) in enumerate(zip(images, radii, strict=True)):
        level = _level(features(image, mean, gain), shares)
        if number:
            motion = _select(level, enlarge(motion, *image.shape[-2:]))
        motion = _search(level, motion, radius)
        if rest_radius:
            motion = _prefer_rest(level, motion, _search(level, torch.zeros_like(motion), rest_radius))
        motion = _median(motion)
    by_time: Tensor = motion.unflatten(0, (len(times), count))
    return by_time.transpose(0, 1) * 2


def _half(image: Tensor) -> Tensor:
    """The mean of each 2x2 pixels; an odd last row or column is repeated."""
    for dim in (2, 3):
        size = image.shape[dim]
        pixels = torch.arange(2 * ((size + 1) // 2), device=image.device).clamp(max=size - 1)
        image = image.index_select(dim, pixels)
    upper = image[..., 0::2, 0::2] + image[..., 0::2, 1::2]
    lower = image[..., 1::2, 0::2] + image[..., 1::2, 1::2]
    return (upper + lower) * 0.25


def _level(features: Tensor, shares: Tensor) -> _Level:
    """A level of both frames, whose features are ``(2 * N, 6, h, w)``; ``shares`` as in ``_Level``."""
    frames, channels, height, width = features.shape
    count = frames // 2
    starts = torch.arange(frames, device=features.device, dtype=torch.int32) * (height * width)
    starts = starts.unflatten(0, (2, 1, count)).expand(2, shares.shape[0] // frames, count).flatten()
    return _Level(features.movedim(1, -1).reshape(-1, channels), starts[:, None, None, None], shares)


def _select(level: _Level, motion: Tensor) -> Tensor:
    """The best of a position's own motion, its four neighbors' and none."""
    candidates = torch.stack([motion, *neighbors(motion)], dim=1)
    costs = _costs(level, candidates) + (candidates - motion.unsqueeze(1)).abs().sum(2) * PENALTY
    best = costs.min(dim=1, keepdim=True).indices
    return candidates.gather(1, best.unsqueeze(2).expand(-1, -1, 2, -1, -1))[:, 0]


def _search(level: _Level, center: Tensor, radius: int) -> Tensor:
    """The best motion on a grid around ``center``, with the sub-pixel part from a parabola along each axis."""
    side = 2 * radius + 1
    number = torch.arange(side**2, device=center.device)  # torch.tensor can't be traced here
    steps = torch.stack([number // side, number % side], dim=1) - radius
    shifts = steps.to(center.dtype)
    penalties = torch.cat([center.new_full((1,), PENALTY * distance) for distance in range(side)])
    costs = _costs(level, center.unsqueeze(1) + shifts[:, :, None, None])
    costs = costs + penalties[steps.abs().sum(1)][:, None, None]
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
    costs = _costs(level, torch.stack([small, motion], dim=1))
    fits = costs[:, :1] < costs[:, 1:] * SHARE + TOLERANCE
    return torch.where(fits & (length(small) < length(motion)), small, motion)


def _costs(level: _Level, motions: Tensor) -> Tensor:
    """Mean difference ``(T * N, K, h, w)`` of the two frames along ``motions (T * N, K, 2, h, w)``."""
    shift = torch.cat([motions, motions]) * level.shares
    first, second = sample(level.pixels, level.starts, shift).unflatten(0, (2, -1))
    return mean_difference((first - second).unbind(-1))


def _median(motion: Tensor) -> Tensor:
    """The 3x3 median of each component; beyond the edge, the edge."""
    height, width = motion.shape[-2:]
    padded = pad(motion, 1)
    rows = torch.stack([padded[..., y : y + height, :] for y in range(3)])
    window = torch.cat([rows[..., x : x + width] for x in range(3)])
    middle: Tensor = window.topk(5, dim=0, largest=False).values[4]
    return middle
