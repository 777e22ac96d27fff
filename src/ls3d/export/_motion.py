"""``bilateral_motion`` as standard operations, for graphs whose height and width are open.

The same computation as :mod:`ls3d.ops.backends.reference_motion`, with all candidates of a grid search in one batch
instead of one after the other, so that the graph stays small.
"""

from __future__ import annotations

from collections.abc import Sequence

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
from ls3d.ops.backends.reference_motion import grid_shift

_Pair = tuple[Tensor, Tensor]


def bilateral_motion(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> Tensor:
    """The motion ``(N, len(times), 2, h, w)``; shapes as in :func:`ls3d.ops.bilateral_motion`."""
    pairs = _pyramid(first.float(), second.float(), levels)
    return torch.stack([_motion(pairs, time) * 2 for time in times], dim=1)


def _motion(pairs: Sequence[_Pair], time: float) -> Tensor:
    """The motion ``(N, 2, h, w)`` at one time, in pixels of the finest level."""
    motion = torch.zeros_like(pairs[0][0][:, :2])
    radii = zip(search_radii(len(pairs)), rest_radii(len(pairs)), strict=True)
    for number, (pair, (radius, rest_radius)) in enumerate(zip(pairs, radii, strict=True)):
        if number:
            motion = _select(pair, _enlarge(motion, pair[0]), time)
        motion = _search(pair, motion, time, radius)
        if rest_radius:
            small = _search(pair, torch.zeros_like(motion), time, rest_radius)
            small_cost, cost = _costs(pair, torch.stack([small, motion], dim=1), time).unbind(1)
            fits = small_cost < cost * SHARE + TOLERANCE
            shorter = _length(small) < _length(motion)
            motion = torch.where((fits & shorter).unsqueeze(1), small, motion)
        motion = _median(motion)
    return motion


def _pyramid(first: Tensor, second: Tensor, levels: int) -> list[_Pair]:
    """Features ``(N, 6, h, w)`` of both frames at every level, the coarsest first."""
    frames = [_images(first, levels), _images(second, levels)]
    means = [images[0].mean((2, 3), keepdim=True) for images in frames]
    contrast = [
        (images[0] - mean).abs().mean((2, 3), keepdim=True).sum(1, keepdim=True)
        for images, mean in zip(frames, means, strict=True)
    ]
    total = contrast[0] + contrast[1]
    divisor = torch.where(total > 0, total, 1.0)
    gains = [torch.where(total > 0, other * 2 / divisor, 1.0) for other in reversed(contrast)]
    pairs = []
    for level in zip(*frames, strict=True):
        own, other = (_features(*part) for part in zip(level, means, gains, strict=True))
        pairs.append((own, other))
    return pairs


def _images(frame: Tensor, levels: int) -> list[Tensor]:
    """The frame at every level, the coarsest first."""
    images = [_half(frame)]
    while len(images) < levels:
        images.append(_half(images[-1]))
    return images[::-1]


def _half(image: Tensor) -> Tensor:
    """The mean of each 2x2 pixels; an odd last row or column is repeated."""
    for dim in (2, 3):
        size = image.shape[dim]
        pixels = torch.arange(2 * ((size + 1) // 2), device=image.device).clamp(max=size - 1)
        image = image.index_select(dim, pixels)
    return F.avg_pool2d(image, 2)


def _features(image: Tensor, mean: Tensor, gain: Tensor) -> Tensor:
    """What is compared: the colors without their local mean, and without the mean of the frame."""
    side = 2 * MEAN_RADIUS + 1
    local = F.avg_pool2d(F.pad(image, (MEAN_RADIUS,) * 4, mode="replicate"), side, 1)
    return torch.cat([image - local, image - mean], dim=1) * gain


def _enlarge(motion: Tensor, like: Tensor) -> Tensor:
    """Motion of the next level, twice as large: bilinear, cropped to the size of ``like``."""
    height, width = like.shape[-2:]
    return F.interpolate(motion, scale_factor=2.0, mode="bilinear")[..., :height, :width] * 2


def _select(pair: _Pair, motion: Tensor, time: float) -> Tensor:
    """The best of a position's own motion, its four neighbors' and none."""
    height, width = motion.shape[-2:]
    padded = F.pad(motion, (NEIGHBOR,) * 4, mode="replicate")
    starts = [(y * NEIGHBOR, x * NEIGHBOR) for y, x in ((0, 1), (2, 1), (1, 0), (1, 2))]
    neighbors = [padded[..., y : y + height, x : x + width] for y, x in starts]
    candidates = torch.stack([motion, *neighbors, torch.zeros_like(motion)], dim=1)
    costs = _costs(pair, candidates, time) + _length(candidates.transpose(1, 2) - motion.unsqueeze(2)) * PENALTY
    return _pick(candidates, costs.min(dim=1, keepdim=True).indices)


def _search(pair: _Pair, center: Tensor, time: float, radius: int) -> Tensor:
    """The best motion on a grid around ``center``, with the sub-pixel part from a parabola along each axis."""
    side = 2 * radius + 1
    number = torch.arange(side**2, device=center.device)
    grid = (torch.stack([number // side, number % side], dim=1) - radius).to(center.dtype)
    penalty = PENALTY * grid.abs().sum(1)
    costs = _costs(pair, center.unsqueeze(1) + grid[:, :, None, None], time) + penalty[:, None, None]
    best, index = costs.min(dim=1, keepdim=True)
    return center + grid_shift(costs, best, index, radius)


def _costs(pair: _Pair, motions: Tensor, time: float) -> Tensor:
    """Mean difference ``(N, K, h, w)`` of the two frames along ``motions (N, K, 2, h, w)``."""
    difference = (_samples(pair[0], motions * -time) - _samples(pair[1], motions * (1 - time))).abs()
    side = 2 * WINDOW_RADIUS + 1
    padded = F.pad(difference.mean(1), (WINDOW_RADIUS,) * 4, mode="replicate")
    return F.avg_pool2d(padded, side, 1)


def _samples(features: Tensor, shifts: Tensor) -> Tensor:
    """``features (N, C, h, w)`` at each position plus ``shifts (N, K, 2, h, w)``: ``(N, C, K, h, w)``."""
    height, width = features.shape[-2:]
    y = torch.arange(height, dtype=shifts.dtype, device=shifts.device)[:, None] + shifts[:, :, 0]
    x = torch.arange(width, dtype=shifts.dtype, device=shifts.device) + shifts[:, :, 1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1).flatten(1, 2)
    samples = F.grid_sample(features, grid, padding_mode="border", align_corners=False)
    along: Tensor = samples.unflatten(2, (shifts.shape[1], height))
    return along


def _pick(candidates: Tensor, index: Tensor) -> Tensor:
    """One of ``candidates (N, K, 2, h, w)`` at each position, by ``index (N, 1, h, w)``."""
    return candidates.gather(1, index.unsqueeze(2).expand(-1, -1, 2, -1, -1))[:, 0]


def _length(motions: Tensor) -> Tensor:
    """The sum of the distances along both axes, the second dimension."""
    return motions[:, 0].abs() + motions[:, 1].abs()


def _median(motion: Tensor) -> Tensor:
    """The 3x3 median of each component; beyond the edge, the edge."""
    height, width = motion.shape[-2:]
    padded = F.pad(motion, (1,) * 4, mode="replicate")
    window = torch.stack([padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)])
    middle: Tensor = window.topk(5, dim=0, largest=False).values[4]
    return middle
