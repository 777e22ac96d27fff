"""Interpolation without weights: bilateral motion, and learnable sampling with fixed importances.

Every new pixel is a weighted sum of samples of the two frames, equation (3) of the LS3D-Conv paper
(arXiv:2011.10974), with nothing learned: the offsets are candidate motions, the masks come from how well the two
frames agree along each of them. A convex sum of bilinear samples is blurred at half a pixel, so a bicubic sample along
the mean motion is added and a bilinear one subtracted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.models.enhancement._motion import warp, without_autocast
from ls3d.models.network import QUARTERS, EnhancementTraits, InterpolationNetwork
from ls3d.models.registry import register_model
from ls3d.ops import Interpolation, bilateral_motion, ls3d_conv3d

#: How many of the six candidates move: a position's own motion and that of four neighbors. The last is no motion.
_MOVING = 5

#: Rows and columns to the neighbors whose motion is a candidate, in pixels at half the size.
_NEIGHBOR = 6

#: Mean color difference along a candidate that divides its importance by e.
_TEMPERATURE = 0.06

#: Pixels by which the frames are enlarged for bicubic samples, which would read zeros beyond the edge.
_MARGIN = 2

#: An offset of taps that aren't used: it samples zero.
_OUTSIDE = -1e6

#: Pixels that are made at a time: bounds the memory of offsets and masks.
_BAND_PIXELS = 1 << 15


class BilateralInterpolation(InterpolationNetwork):
    """Sample both frames along the bilateral motion, its neighbors' and none, by how well the frames agree.

    Args:
        levels: of the motion's pyramid, see :func:`ls3d.ops.bilateral_motion`.
    """

    traits = EnhancementTraits.interpolation(size_multiple=1, times="any", value_range=(0.0, 1.0))

    def __init__(self, levels: int | None = None) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``."""
        wanted = list(QUARTERS if times is None else times)
        between = [time for time in dict.fromkeys(wanted) if time not in (0, 1)]
        made = {0.0: frames[:, :, 0], 1.0: frames[:, :, 1]}
        if between:
            with without_autocast(frames.device):
                made |= zip(between, self._make(frames, between), strict=True)
        return torch.stack([made[time] for time in wanted], dim=2)

    def _make(self, frames: Tensor, times: Sequence[float]) -> Iterator[Tensor]:
        """The frames ``(N, 3, H, W)`` at ``times``, one by one."""
        precise = frames if frames.dtype == torch.float64 else frames.float()
        first, second = precise.unbind(2)
        halves = _half(first), _half(second)
        sampled = precise.contiguous(memory_format=torch.channels_last_3d), _with_margin(precise)
        motions = bilateral_motion(first, second, times, self.levels).to(precise.dtype)
        for time, motion in zip(times, motions.unbind(1), strict=True):
            candidates = _candidates(motion)
            importance = _importance(halves, candidates, time)
            yield _sample(*sampled, candidates, importance, time).to(frames.dtype)


def _sample(frames: Tensor, large: Tensor, candidates: Tensor, importance: Tensor, time: float) -> Tensor:
    """Equation (3) at the full size, a band of rows after the other; ``large`` are the frames with their margin."""
    height, width = frames.shape[-2:]
    rows = min(height, max(2, _BAND_PIXELS // width // 2 * 2))
    output = frames.new_empty(frames.shape[0], 3, height, width)
    last = candidates.new_tensor([height - 1, width - 1])[:, None, None]
    for top in range(0, height, rows):
        band = range(top, min(top + rows, height))
        pixel = _pixels(band, width, candidates)
        moves = _enlarge(candidates.flatten(1, 2), band, width).unflatten(1, (-1, 2))
        position, mask = _taps(moves, _enlarge(importance, band, width), time, pixel, last)
        sharp = _sample_at(large, position[:, :, -1:] + _MARGIN, -mask[:, :, -1:], "bicubic")
        output[:, :, top : band.stop] = _sample_at(frames, position, mask, "bilinear") + sharp
    return output


def _sample_at(frames: Tensor, position: Tensor, mask: Tensor, interpolation: Interpolation) -> Tensor:
    """Equation (3) with the identity as kernel: the sum of samples times masks.

    Args:
        frames: ``(N, 3, 2, H, W)``.
        position: ``(N, 2, taps, 2, rows, columns)``, row and column in each frame.
        mask: ``(N, 2, taps, rows, columns)``.
        interpolation: of the samples.

    Returns:
        ``(N, 3, rows, columns)``.
    """
    taps, _, rows, columns = position.shape[2:]
    height, width = frames.shape[-2:]
    # The taps form two rows. A kernel as tall as the rest of the frame makes just these rows out of all.
    across = (taps + 1) // 2
    padding = (0, 1, across - 1)
    dilation = (1, height + 2 - rows, 2)
    tap = torch.arange(taps, device=frames.device)
    grid = torch.stack([tap // across * dilation[1] - padding[1], tap % across * dilation[2] - padding[2]], dim=1)
    regular = _pixels(range(rows), columns, frames) + grid[:, :, None, None]
    offset = frames.new_full((len(frames), 2, 2 * across, 2, rows, width), _OUTSIDE)
    offset[:, :, :taps, :, :, :columns] = position - regular
    importance = frames.new_zeros(len(frames), 2, 2 * across, rows, width)
    importance[:, :, :taps, :, :columns] = mask
    identity = torch.eye(3, dtype=frames.dtype, device=frames.device)[:, :, None, None, None]
    samples = ls3d_conv3d(
        frames,
        offset.flatten(1, 3).unsqueeze(2),
        importance.flatten(1, 2).unsqueeze(2),
        identity.expand(3, 3, 2, 2, across),
        padding=padding,
        dilation=dilation,
        interpolation=interpolation,
    )
    return samples[:, :, 0, :, :columns]


def _with_margin(frames: Tensor) -> Tensor:
    """The frames, channels-last, with their edges repeated."""
    large: Tensor = F.pad(frames.flatten(1, 2), (_MARGIN,) * 4, mode="replicate").unflatten(1, (3, 2))
    return large.contiguous(memory_format=torch.channels_last_3d)


def _half(frame: Tensor) -> Tensor:
    """The mean of each 2x2 pixels; an odd last row or column is repeated."""
    height, width = frame.shape[-2:]
    return F.avg_pool2d(F.pad(frame, (0, width % 2, 0, height % 2), mode="replicate"), 2)


def _candidates(motion: Tensor) -> Tensor:
    """Motions ``(N, 6, 2, h, w)`` worth trying: a position's own, that of four diagonal neighbors, and none."""
    height, width = motion.shape[-2:]
    padded = F.pad(motion, (_NEIGHBOR,) * 4, mode="replicate")
    starts = product((0, 2 * _NEIGHBOR), repeat=2)
    neighbors = [padded[..., y : y + height, x : x + width] for y, x in starts]
    return torch.stack([motion, *neighbors, torch.zeros_like(motion)], dim=1)


def _importance(halves: tuple[Tensor, Tensor], candidates: Tensor, time: float) -> Tensor:
    """Importance ``(N, 6, h, w)`` of each candidate: a softmax over how well the frames agree along it."""
    costs = []
    for motion in (candidates / 2).unbind(1):
        first, second = warp(halves[0], motion * -time), warp(halves[1], motion * (1 - time))
        difference = (first - second).abs().mean(1, keepdim=True)
        costs.append(F.avg_pool2d(F.pad(difference, (1,) * 4, mode="replicate"), 3, 1))
    importance: Tensor = (torch.cat(costs, dim=1) / -_TEMPERATURE).softmax(dim=1)
    return importance


def _enlarge(maps: Tensor, band: range, width: int) -> Tensor:
    """Rows ``band`` of ``maps (N, C, h, w)`` at twice the size; the band starts at an even row."""
    rows = torch.arange(band.start // 2 - 1, (band.stop + 1) // 2 + 1, device=maps.device)
    near = maps.index_select(2, rows.clamp(0, maps.shape[2] - 1))
    return F.interpolate(near, scale_factor=2, mode="bilinear")[:, :, 2 : 2 + len(band), :width]


def _pixels(band: range, width: int, like: Tensor) -> Tensor:
    """Row and column ``(2, len(band), width)`` of every pixel of a band."""
    y = torch.arange(band.start, band.stop, device=like.device)
    x = torch.arange(width, device=like.device)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")).to(like.dtype)


def _taps(moves: Tensor, weights: Tensor, time: float, pixel: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Where to sample and how much it counts.

    Args:
        moves: candidate motions ``(N, 6, 2, rows, W)`` of the interval.
        weights: their importances ``(N, 6, rows, W)``, which sum to one.
        time: of the new frame.
        pixel: ``(2, rows, W)``, row and column of each pixel in the frame.
        last: ``(2, 1, 1)``, the last row and column.

    Returns:
        Positions ``(N, 2, 7, 2, rows, W)`` in the two frames and masks ``(N, 2, 7, rows, W)``: of the candidates,
        and of the mean motion, whose mask is negative.
    """
    zero = moves.new_zeros(())
    moving = weights[:, :_MOVING]
    share = moving.sum(1, keepdim=True)
    mean = (moves[:, :_MOVING] * moving.unsqueeze(2)).sum(1, keepdim=True) / share.clamp_min(1e-12).unsqueeze(2)
    moves, strength = torch.cat([moves, mean], dim=1), torch.cat([weights, -share], dim=1)
    positions = [torch.add(pixel, moves, alpha=factor).clamp_(zero, last) for factor in (-time, 1 - time)]
    return torch.stack(positions, dim=1), torch.stack([strength * (1 - time), strength * time], dim=1)


@register_model(parameters=0, input_size=(3, 2, 256, 256))
def bilateral(levels: int | None = None) -> BilateralInterpolation:
    """Sampling along motion found by matching, at any time; needs no weights."""
    return BilateralInterpolation(levels)
