"""The reference backend of ``bilateral_motion``: plain torch, any device.

Every sum is written out in the order in which the compiled kernel adds, so that both find the same minimum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.ops._motion_plan import COLOR_WEIGHT, MEAN_RADIUS, PENALTY, Level, plan

_Pair = tuple[Tensor, Tensor]


def bilateral_motion(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> Tensor:
    """The motion ``(N, len(times), 2, h, w)``; shapes as in :func:`ls3d.ops.bilateral_motion`."""
    steps = plan(levels)
    pyramid = list(zip(steps, _pyramid(first, levels), _pyramid(second, levels), strict=True))
    motions = []
    for time in times:
        motion = None
        for level, *pair in pyramid:
            motion = _match((pair[0], pair[1]), motion, time, level)
        motions.append(motion)
    return torch.stack([2 * motion for motion in motions if motion is not None], dim=1)


def _pyramid(frame: Tensor, levels: int) -> list[Tensor]:
    """Features ``(N, 6, h, w)`` of every level, the coarsest first."""
    images = [_half(frame)]
    while len(images) < levels:
        images.append(_half(images[-1]))
    coarsest = images[-1]
    mean = _sum(_sum(coarsest, -1), -2) * (1 / (coarsest.shape[-2] * coarsest.shape[-1]))
    return [_features(image, mean) for image in reversed(images)]


def _half(image: Tensor) -> Tensor:
    """The mean of each 2x2 pixels; an odd last row or column is repeated."""
    height, width = image.shape[-2:]
    image = F.pad(image, (0, width % 2, 0, height % 2), mode="replicate")
    upper = image[..., 0::2, 0::2] + image[..., 0::2, 1::2]
    lower = image[..., 1::2, 0::2] + image[..., 1::2, 1::2]
    return (upper + lower) * 0.25


def _sum(values: Tensor, dim: int) -> Tensor:
    """Sum over one dimension, which is kept: the second half is added to the first until one is left."""
    while values.shape[dim] > 1:
        length = (values.shape[dim] + 1) // 2
        first, second = values.split([length, values.shape[dim] - length], dim)
        total = first.clone()
        total.narrow(dim, 0, second.shape[dim]).add_(second)
        values = total
    return values


def _features(image: Tensor, mean: Tensor) -> Tensor:
    """What is compared: the colors without their local mean, and, weaker, without the mean of the frame."""
    local = _box_sum(image, MEAN_RADIUS) * (1 / (2 * MEAN_RADIUS + 1) ** 2)
    return torch.cat([image - local, (image - mean) * COLOR_WEIGHT], dim=1)


def _box_sum(values: Tensor, radius: int) -> Tensor:
    """Sum over a square window, first along rows, then along columns; beyond the edge, the edge."""
    height, width = values.shape[-2:]
    padded = _pad(values, radius)
    rows = padded[..., :width]
    for x in range(1, 2 * radius + 1):
        rows = rows + padded[..., x : x + width]
    total = rows[..., :height, :]
    for y in range(1, 2 * radius + 1):
        total = total + rows[..., y : y + height, :]
    return total


def _pad(values: Tensor, margin: int) -> Tensor:
    return F.pad(values, (margin,) * 4, mode="replicate")


def _match(pair: _Pair, coarse: Tensor | None, time: float, level: Level) -> Tensor:
    """The motion ``(N, 2, h, w)`` of one level, in its pixels, given that of the coarser one."""
    count, _, height, width = pair[0].shape
    if coarse is None:
        motion = pair[0].new_zeros(count, 2, height, width)
    else:
        motion = _select(pair, _enlarge(coarse, height, width), time, level)
    return _median(_search(pair, motion, time, level))


def _enlarge(motion: Tensor, height: int, width: int) -> Tensor:
    """Motion of the next level, twice as large: bilinear, cropped to ``height`` and ``width``."""
    tall = _double(motion.transpose(-2, -1), height).transpose(-2, -1)
    return _double(tall, width) * 2


def _double(values: Tensor, length: int) -> Tensor:
    """Twice as many values along the last dimension, of which ``length`` are kept."""
    before = torch.cat([values[..., :1], values[..., :-1]], dim=-1)
    after = torch.cat([values[..., 1:], values[..., -1:]], dim=-1)
    even = before * 0.25 + values * 0.75
    odd = values * 0.75 + after * 0.25
    return torch.stack([even, odd], dim=-1).flatten(-2)[..., :length]


def _select(pair: _Pair, motion: Tensor, time: float, level: Level) -> Tensor:
    """The best of a position's own motion, its four neighbors' and none."""
    best = _cost(pair, motion, time, level)
    chosen = motion
    for candidate in _neighbors(motion, level.neighbor):
        distance = (candidate[:, :1] - motion[:, :1]).abs() + (candidate[:, 1:] - motion[:, 1:]).abs()
        cost = _cost(pair, candidate, time, level) + distance * PENALTY
        better = cost < best
        best = torch.where(better, cost, best)
        chosen = torch.where(better, candidate, chosen)
    return chosen


def _neighbors(motion: Tensor, distance: int) -> Iterator[Tensor]:
    """The motion above, below, left and right at ``distance``, then none."""
    height, width = motion.shape[-2:]
    padded = _pad(motion, distance)
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        yield padded[..., y * distance : y * distance + height, x * distance : x * distance + width]
    yield torch.zeros_like(motion)


def _search(pair: _Pair, center: Tensor, time: float, level: Level) -> Tensor:
    """The best motion on a grid around ``center``, with the sub-pixel part from a parabola along each axis."""
    shifts = [k * level.step for k in range(-level.radius, level.radius + 1)]
    costs = []
    for y, x in product(shifts, shifts):
        motion = center + center.new_tensor([y, x])[:, None, None]
        costs.append(_cost(pair, motion, time, level) + PENALTY * (abs(y) + abs(x)))
    best, index = costs[0], torch.zeros_like(costs[0], dtype=torch.long)
    for number, cost in enumerate(costs):
        better = cost < best
        best = torch.where(better, cost, best)
        index = torch.where(better, number, index)
    volume, side = torch.cat(costs, dim=1), len(shifts)
    parts = []
    for position, stride in ((index // side, side), (index % side, 1)):
        inside = (position > 0) & (position < side - 1)
        before = volume.gather(1, torch.where(inside, index - stride, index))
        after = volume.gather(1, torch.where(inside, index + stride, index))
        parts.append(((position - level.radius) + _vertex(before, best, after)) * level.step)
    return center + torch.cat(parts, dim=1)


def _vertex(before: Tensor, best: Tensor, after: Tensor) -> Tensor:
    """Where the parabola through three costs has its minimum, from -1/2 to 1/2; 0 where there is none."""
    vertex = ((before - after) * 0.5) / ((before - best) + (after - best))
    return torch.where(vertex.abs() <= 0.5, vertex, 0.0)


def _cost(pair: _Pair, motion: Tensor, time: float, level: Level) -> Tensor:
    """Mean difference ``(N, 1, h, w)`` of the two frames along ``motion``, over features and window."""
    difference = (_sample(pair[0], motion * -time) - _sample(pair[1], motion * (1 - time))).abs().unbind(1)
    total = ((difference[0] + difference[4]) + difference[2]) + ((difference[1] + difference[5]) + difference[3])
    return _box_sum(total[:, None], level.box) * (1 / (len(difference) * (2 * level.box + 1) ** 2))


def _sample(features: Tensor, shift: Tensor) -> Tensor:
    """``features`` at each position plus ``shift``, bilinearly; beyond the edge, the edge."""
    count, channels, height, width = features.shape
    y = torch.arange(height, dtype=shift.dtype, device=shift.device)[:, None] + shift[:, 0]
    x = torch.arange(width, dtype=shift.dtype, device=shift.device) + shift[:, 1]
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = y.floor(), x.floor()
    below, right = y - top, x - left
    above, beside = 1 - below, 1 - right
    row, column = top.long(), left.long()
    base = torch.arange(count, device=shift.device)[:, None, None] * (height * width)
    rows = base + row * width, base + (row + 1).clamp(max=height - 1) * width
    columns = column, (column + 1).clamp(max=width - 1)
    pixels = features.movedim(1, -1).reshape(-1, channels)
    corners = zip(product(rows, columns), (above * beside, above * right, below * beside, below * right), strict=True)
    total: Tensor | None = None
    for (start, end), weight in corners:
        part = pixels.index_select(0, (start + end).flatten()) * weight.flatten()[:, None]
        total = part if total is None else total + part
    assert total is not None
    return total.unflatten(0, (count, height, width)).movedim(-1, 1)


def _median(motion: Tensor) -> Tensor:
    """The 3x3 median of each component; beyond the edge, the edge."""
    height, width = motion.shape[-2:]
    padded = _pad(motion, 1)
    window = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return torch.stack(window).median(dim=0).values
