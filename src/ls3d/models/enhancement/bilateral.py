"""Interpolation without weights: bilateral motion, and learnable sampling with fixed importances.

Every new pixel is a weighted sum of samples of the two frames, equation (3) of the LS3D-Conv paper
(arXiv:2011.10974), with nothing learned: the offsets are candidate motions, the masks come from how well the two
frames agree along each of them. A convex sum of bilinear samples is blurred at half a pixel, so further taps with
masks of both signs turn the bilinear sample along the mean motion into a bicubic one.
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
from ls3d.ops import bilateral_motion, ls3d_conv3d

#: How many of the six candidates move: a position's own motion and that of four neighbors. The last is no motion.
_MOVING = 5

#: Rows and columns to the neighbors whose motion is a candidate, in pixels at half the size.
_NEIGHBOR = 6

#: Mean color difference along a candidate that divides its importance by e.
_TEMPERATURE = 0.06

#: Parameter of the cubic kernel (Keys 1981).
_CUBIC = -0.75

#: The taps in each frame lie in this grid of the kernel: six candidates, then six of the bicubic correction.
_KERNEL = (2, 2, 6)
_PADDING = (0, 1, 5)
_STEP = 2

#: Pixels that are made at a time: bounds the memory of offsets and masks.
_BAND_PIXELS = 1 << 15


class BilateralInterpolation(InterpolationNetwork):
    """Sample both frames along the bilateral motion, its neighbors' and none, by how well the frames agree.

    Args:
        levels: of the motion's pyramid, see :func:`ls3d.ops.bilateral_motion`.
    """

    traits = EnhancementTraits.interpolation(size_multiple=1, times="any", value_range=(0.0, 1.0))
    kernel: Tensor

    def __init__(self, levels: int | None = None) -> None:
        super().__init__()
        self.levels = levels
        identity = torch.eye(3)[:, :, None, None, None].expand(3, 3, *_KERNEL)
        self.register_buffer("kernel", identity.contiguous(), persistent=False)

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
        sampled = precise.contiguous(memory_format=torch.channels_last_3d)
        motions = bilateral_motion(first, second, times, self.levels).to(precise.dtype)
        for time, motion in zip(times, motions.unbind(1), strict=True):
            candidates = _candidates(motion)
            importance = _importance(halves, candidates, time)
            yield self._sample(sampled, candidates, importance, time).to(frames.dtype)

    def _sample(self, frames: Tensor, candidates: Tensor, importance: Tensor, time: float) -> Tensor:
        """Equation (3) at the full size, a band of rows after the other."""
        height, width = frames.shape[-2:]
        rows = min(height, max(2, _BAND_PIXELS // width // 2 * 2))
        output = frames.new_empty(frames.shape[0], 3, height, width)
        for top in range(0, height, rows):
            band = range(top, min(top + rows, height))
            pixel = _pixels(band, width, candidates)
            last = candidates.new_tensor([height - 1, width - 1])[:, None, None]
            moves = _enlarge(candidates.flatten(1, 2), band, width).unflatten(1, (-1, 2))
            position, mask = _taps(moves, _enlarge(importance, band, width), time, pixel, last)
            # A kernel as tall as the rest of the frame makes just these rows out of all.
            dilation = height + 2 * _PADDING[1] - len(band)
            regular = pixel - pixel[:, :1, :1] + _kernel_grid(dilation, candidates)
            output[:, :, top : band.stop] = ls3d_conv3d(
                frames,
                position.sub_(regular).flatten(1, 2).unsqueeze(2),
                mask.unsqueeze(2),
                self.kernel.to(frames.dtype),
                padding=_PADDING,
                dilation=(1, dilation, _STEP),
            )[:, :, 0]
        return output


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


def _kernel_grid(dilation: int, like: Tensor) -> Tensor:
    """Where the 24 taps of the kernel's regular grid lie, relative to a pixel: ``(24, 2, 1, 1)``."""
    frames, tall, wide = _KERNEL
    grid = torch.tensor(
        [[y * dilation - _PADDING[1], x * _STEP - _PADDING[2]] for y in range(tall) for x in range(wide)]
    )
    return grid.repeat(frames, 1)[:, :, None, None].to(like)


def _taps(moves: Tensor, weights: Tensor, time: float, pixel: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Where to sample and how much it counts.

    Args:
        moves: candidate motions ``(N, 6, 2, rows, W)`` of the interval.
        weights: their importances ``(N, 6, rows, W)``, which sum to one.
        time: of the new frame.
        pixel: ``(2, rows, W)``, row and column of each pixel in the frame.
        last: ``(2, 1, 1)``, the last row and column.

    Returns:
        Positions ``(N, 24, 2, rows, W)`` in the frame and masks ``(N, 24, rows, W)``.
    """
    zero = moves.new_zeros(())
    moving = weights[:, :_MOVING]
    share = moving.sum(1, keepdim=True)
    mean = (moves[:, :_MOVING] * moving.unsqueeze(2)).sum(1) / share.clamp_min(1e-12)
    positions, masks = [], []
    for factor, part in ((-time, 1 - time), (1 - time, time)):
        straight = torch.add(pixel, moves, alpha=factor).clamp_(zero, last)
        center = torch.add(pixel, mean, alpha=factor).clamp_(zero, last)
        sharp, strength = _cubic_taps(center, last)
        positions += [straight, sharp, center.unsqueeze(1)]
        masks += [part * weights, part * share * strength, -part * share]
    return torch.cat(positions, dim=1), torch.cat(masks, dim=1)


def _cubic_taps(position: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """A bicubic sample as five bilinear ones.

    The two inner taps of the cubic kernel along an axis are one bilinear sample between them. The four corners of the
    nine samples that remain count less than 1/80 each and are left out.

    Args:
        position: ``(N, 2, rows, W)`` inside the frame.
        last: ``(2, 1, 1)``, the last row and column.

    Returns:
        Positions ``(N, 5, 2, rows, W)`` and weights ``(N, 5, rows, W)`` that sum to one.
    """
    whole = position.floor()
    part = position - whole
    outer = _cubic(part + 1), _cubic(2 - part)
    inner = 1 - outer[0] - outer[1]
    points = whole - 1, whole + _cubic(1 - part) / inner, whole + 2
    y, x = zip(*(point.clamp(point.new_zeros(()), last).unbind(1) for point in points), strict=True)
    (top, left), (bottom, right), (row, column) = (weight.unbind(1) for weight in (*outer, inner))
    cross = [(y[1], x[1]), (y[0], x[1]), (y[2], x[1]), (y[1], x[0]), (y[1], x[2])]
    weights = torch.stack([row * column, top * column, bottom * column, row * left, row * right], dim=1)
    stacked = torch.stack([torch.stack(point, dim=1) for point in cross], dim=1)
    return stacked, weights / weights.sum(1, keepdim=True)


def _cubic(distance: Tensor) -> Tensor:
    """The cubic kernel at ``distance`` from 0 to 2."""
    near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * _CUBIC
    return torch.where(distance <= 1, near, far)


@register_model(parameters=0, input_size=(3, 2, 256, 256))
def bilateral(levels: int | None = None) -> BilateralInterpolation:
    """Sampling along motion found by matching, at any time; needs no weights."""
    return BilateralInterpolation(levels)
