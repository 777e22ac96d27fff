"""The reference backend of ``bilateral_motion``: plain torch, any device.

Every sum is written out in the order in which the compiled kernel adds, so that both find the same minimum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

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

_Pair = tuple[Tensor, Tensor]


def bilateral_motion(first: Tensor, second: Tensor, times: Sequence[float], levels: int) -> Tensor:
    """The motion ``(N, len(times), 2, h, w)``; shapes as in :func:`ls3d.ops.bilateral_motion`."""
    pairs = pyramid(first, second, levels)
    return torch.stack([_motion(pairs, time) * 2 for time in times], dim=1)


def _motion(pairs: Sequence[_Pair], time: float) -> Tensor:
    """The motion ``(N, 2, h, w)`` at one time, in pixels of the finest level."""
    count, _, height, width = pairs[0][0].shape
    motion = pairs[0][0].new_zeros(count, 2, height, width)
    radii = zip(search_radii(len(pairs)), rest_radii(len(pairs)), strict=True)
    for number, (pair, (radius, rest_radius)) in enumerate(zip(pairs, radii, strict=True)):
        if number:
            height, width = pair[0].shape[-2:]
            motion = _select(pair, enlarge(motion, height, width), time)
        motion = _search(pair, motion, time, radius)
        if rest_radius:
            small = _search(pair, torch.zeros_like(motion), time, rest_radius)
            fits = _cost(pair, small, time) < _cost(pair, motion, time) * SHARE + TOLERANCE
            motion = torch.where(fits & (length(small) < length(motion)), small, motion)
        motion = _median(motion)
    return motion


def pyramid(first: Tensor, second: Tensor, levels: int) -> list[_Pair]:
    """Features ``(N, 6, h, w)`` of both frames at every level, the coarsest first."""
    frames = [_images(first, levels), _images(second, levels)]
    means, contrast = zip(*(color_statistics(images[0]) for images in frames), strict=True)
    gains = contrast_gain(contrast[0], contrast[1]), contrast_gain(contrast[1], contrast[0])
    pairs = []
    for level in zip(*frames, strict=True):
        first, second = (features(*part) for part in zip(level, means, gains, strict=True))
        pairs.append((first, second))
    return pairs


def _images(frame: Tensor, levels: int) -> list[Tensor]:
    """The frame at every level, the coarsest first."""
    images = [_half(frame)]
    while len(images) < levels:
        images.append(_half(images[-1]))
    return images[::-1]


def _half(image: Tensor) -> Tensor:
    """The mean of each 2x2 pixels; an odd last row or column is repeated."""
    height, width = image.shape[-2:]
    image = F.pad(image, (0, width % 2, 0, height % 2), mode="replicate")
    upper = image[..., 0::2, 0::2] + image[..., 0::2, 1::2]
    lower = image[..., 1::2, 0::2] + image[..., 1::2, 1::2]
    return (upper + lower) * 0.25


def color_statistics(image: Tensor) -> _Pair:
    """Mean ``(N, C, 1, 1)`` of each channel, and mean distance ``(N, 1, 1, 1)`` from it, summed over channels.

    The sums are in float64, so that rounding doesn't depend on their order.
    """
    mean = _mean(image)
    red, green, blue = _mean((image - mean).abs()).split(1, dim=1)
    return mean, (red + green) + blue


def _mean(image: Tensor) -> Tensor:
    return image.double().mean((-2, -1), keepdim=True).to(image.dtype)


def contrast_gain(own: Tensor, other: Tensor) -> Tensor:
    """What a frame is multiplied by so that both have the same contrast; the two gains have the mean one."""
    total = own + other
    return torch.where(total > 0, other * 2 / torch.where(total > 0, total, 1.0), 1.0)


def features(image: Tensor, mean: Tensor, gain: Tensor) -> Tensor:
    """What is compared: the colors without their local mean, and without the mean of the frame."""
    local = box_sum(image, MEAN_RADIUS) * (1 / (2 * MEAN_RADIUS + 1) ** 2)
    return torch.cat([image - local, image - mean], dim=1) * gain


def box_sum(values: Tensor, radius: int) -> Tensor:
    """Sum over a square window, first along rows, then along columns; beyond the edge, the edge."""
    height, width = values.shape[-2:]
    padded = pad(values, radius)
    rows = padded[..., :width]
    for x in range(1, 2 * radius + 1):
        rows = rows + padded[..., x : x + width]
    total = rows[..., :height, :]
    for y in range(1, 2 * radius + 1):
        total = total + rows[..., y : y + height, :]
    return total


def pad(values: Tensor, margin: int) -> Tensor:
    return F.pad(values, (margin,) * 4, mode="replicate")


def enlarge(motion: Tensor, height: int, width: int) -> Tensor:
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


def _select(pair: _Pair, motion: Tensor, time: float) -> Tensor:
    """The best of a position's own motion, its four neighbors' and none."""
    best = _cost(pair, motion, time)
    chosen = motion
    for candidate in neighbors(motion):
        cost = _cost(pair, candidate, time) + length(candidate - motion) * PENALTY
        better = cost < best
        best = torch.where(better, cost, best)
        chosen = torch.where(better, candidate, chosen)
    return chosen


def neighbors(motion: Tensor) -> Iterator[Tensor]:
    """The motion above, below, left and right, then none."""
    distance = NEIGHBOR
    height, width = motion.shape[-2:]
    padded = pad(motion, distance)
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        yield padded[..., y * distance : y * distance + height, x * distance : x * distance + width]
    yield torch.zeros_like(motion)


def length(motion: Tensor) -> Tensor:
    """The sum ``(N, 1, h, w)`` of the distances along both axes."""
    return motion[:, :1].abs() + motion[:, 1:].abs()


def _search(pair: _Pair, center: Tensor, time: float, radius: int) -> Tensor:
    """The best motion on a grid around ``center``, with the sub-pixel part from a parabola along each axis."""
    shifts = range(-radius, radius + 1)
    costs = []
    for y, x in product(shifts, shifts):
        motion = center + center.new_tensor([y, x])[:, None, None]
        costs.append(_cost(pair, motion, time) + PENALTY * (abs(y) + abs(x)))
    best, index = costs[0], torch.zeros_like(costs[0], dtype=torch.long)
    for number, cost in enumerate(costs):
        better = cost < best
        best = torch.where(better, cost, best)
        index = torch.where(better, number, index)
    return center + _grid_shift(torch.cat(costs, dim=1), best, index, radius)


def _grid_shift(costs: Tensor, best: Tensor, index: Tensor, radius: int) -> Tensor:
    """The shift ``(N, 2, h, w)`` of least cost on a grid, with the sub-pixel part from a parabola along each axis.

    Args:
        costs: ``(N, (2 * radius + 1)**2, h, w)``, row by row of the grid.
        best: the least of them, ``(N, 1, h, w)``.
        index: its index, ``(N, 1, h, w)``.
        radius: of the grid.
    """
    side = 2 * radius + 1
    parts = []
    for position, stride in ((index // side, side), (index % side, 1)):
        inside = (position > 0) & (position < side - 1)
        before = costs.gather(1, torch.where(inside, index - stride, index))
        after = costs.gather(1, torch.where(inside, index + stride, index))
        parts.append((position - radius) + vertex(before, best, after))
    return torch.cat(parts, dim=1)


def vertex(before: Tensor, best: Tensor, after: Tensor) -> Tensor:
    """Where the parabola through three costs has its minimum, from -1/2 to 1/2; 0 where there is none."""
    curvature = (before - best) + (after - best)
    vertex = ((before - after) * 0.5) / torch.where(curvature > 0, curvature, 1.0)
    return torch.where((curvature > 0) & (vertex.abs() <= 0.5), vertex, 0.0)


def _cost(pair: _Pair, motion: Tensor, time: float) -> Tensor:
    """Mean difference ``(N, 1, h, w)`` of the two frames along ``motion``, over features and window."""
    difference = _sample(pair[0], motion * -time) - _sample(pair[1], motion * (1 - time))
    return mean_difference(difference.unbind(1))[:, None]


def mean_difference(differences: Sequence[Tensor]) -> Tensor:
    """The mean of the absolute differences ``(..., h, w)`` of the six features, over features and window."""
    parts = [difference.abs() for difference in differences]
    total = ((parts[0] + parts[4]) + parts[2]) + ((parts[1] + parts[5]) + parts[3])
    return box_sum(total, WINDOW_RADIUS) * (1 / (len(parts) * (2 * WINDOW_RADIUS + 1) ** 2))


def _sample(features: Tensor, shift: Tensor) -> Tensor:
    """``features`` at each position plus ``shift``, bilinearly; beyond the edge, the edge."""
    count, channels, height, width = features.shape
    starts = torch.arange(count, device=shift.device) * (height * width)
    return sample(features.movedim(1, -1).reshape(-1, channels), starts[:, None, None], shift).movedim(-1, 1)


def sample(pixels: Tensor, starts: Tensor, shift: Tensor) -> Tensor:
    """Frames at each position plus ``shift``, bilinearly; beyond the edge, the edge.

    Args:
        pixels: of all frames, row by row, ``(frames * h * w, C)``.
        starts: the index of the first pixel of the frame to read, integers ``(..., 1, 1)``.
        shift: ``(..., 2, h, w)``.

    Returns:
        ``(..., h, w, C)``.
    """
    height, width = shift.shape[-2:]
    y = torch.arange(height, dtype=shift.dtype, device=shift.device)[:, None] + shift.select(-3, 0)
    x = torch.arange(width, dtype=shift.dtype, device=shift.device) + shift.select(-3, 1)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = y.floor(), x.floor()
    below, right = y - top, x - left
    above, beside = 1 - below, 1 - right
    row, column = top.to(starts.dtype), left.to(starts.dtype)
    rows = starts + row * width, starts + (row + 1).clamp(max=height - 1) * width
    columns = column, (column + 1).clamp(max=width - 1)
    corners = zip(product(rows, columns), (above * beside, above * right, below * beside, below * right), strict=True)
    total: Tensor | None = None
    for (start, end), weight in corners:
        part = pixels.index_select(0, (start + end).flatten()) * weight.flatten()[:, None]
        total = part if total is None else total + part
    assert total is not None
    samples: Tensor = total.unflatten(0, y.shape)
    return samples


def _median(motion: Tensor) -> Tensor:
    """The 3x3 median of each component; beyond the edge, the edge."""
    height, width = motion.shape[-2:]
    padded = pad(motion, 1)
    window = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return torch.stack(window).median(dim=0).values
