"""Interpolation without weights: bilateral motion, and learnable sampling with fixed importances.

Every new pixel is a weighted sum of samples of the two frames, equation (3) of the LS3D-Conv paper
(arXiv:2011.10974), with nothing learned: the offsets are candidate motions, the masks come from how well the two
frames agree along each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.models.enhancement._motion import warp, without_autocast
from ls3d.models.enhancement._synthesis import Sampling, Synthesis
from ls3d.models.network import QUARTERS, EnhancementTraits, InterpolationNetwork
from ls3d.models.registry import register_model
from ls3d.ops import bilateral_motion

#: Rows and columns to the neighbors whose motion is a candidate, in pixels at half the size.
_NEIGHBOR = 6

#: Mean color difference along a candidate that divides its importance by e.
_TEMPERATURE = 0.06

#: Color difference of the two frames from which a pixel is not taken to stand still; noise in text stays below it.
_STILL = 8 / 255

#: Range of brightness around a pixel below which it is less certain to stand still: a smooth sky looks the same in
#: both frames, but a thin object may pass there in between.
_EDGE = 0.3


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
            made |= zip(between, self._make(frames, between), strict=True)
        return torch.stack([made[time] for time in wanted], dim=2)

    def _make(self, frames: Tensor, times: Sequence[float]) -> Iterator[Tensor]:
        """The frames ``(N, 3, H, W)`` at ``times``, one by one."""
        precise = frames if frames.dtype == torch.float64 else frames.float()
        synthesize = Synthesis(precise)
        for sampling in self._samplings(precise, times):
            with without_autocast(frames.device):
                made = synthesize(sampling)
            yield made.to(frames.dtype)

    def _samplings(self, frames: Tensor, times: Sequence[float]) -> Iterator[Sampling]:
        """How the frames at ``times`` are made, one by one."""
        halves, still = halve(frames), find_still(frames)
        for time, motion in zip(times, find_motion(frames, times, self.levels), strict=True):
            moves = candidate_moves(motion)
            costs = torch.cat([cost(*pair) for pair in sample_pairs(halves, moves, time)], dim=1)
            yield Sampling(time, moves, softmax(log_importance(costs, time)), still)


def find_motion(frames: Tensor, times: Sequence[float], levels: int | None) -> list[Tensor]:
    """The motion ``(N, 2, h, w)`` at each time, in the dtype of ``frames (N, 3, 2, H, W)``."""
    first, second = frames.unbind(2)
    return list(bilateral_motion(first, second, times, levels).to(frames.dtype).unbind(1))


def halve(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Both frames ``(N, 3, h, w)`` at half the size; an odd last row or column is repeated."""
    height, width = frames.shape[-2:]
    padded = F.pad(frames.flatten(1, 2), (0, width % 2, 0, height % 2), mode="replicate")
    first, second = F.avg_pool2d(padded, 2).unflatten(1, (3, 2)).unbind(2)
    return first, second


def find_still(frames: Tensor) -> Tensor:
    """How certain it is that a pixel stands still, ``(N, 1, H, W)`` in [0, 1]: text and logos over what moves.

    A pixel that has the same color in both frames does, if it lies in a square of four such pixels and at an edge.
    """
    difference = (frames[:, :, 0] - frames[:, :, 1]).abs().amax(1, keepdim=True)
    square = F.max_pool2d(F.pad(difference, (1, 1, 1, 1), mode="replicate"), 2, 1)
    least = -F.max_pool2d(-square, 2, 1)
    still: Tensor = (1 - least / _STILL).clamp_min(0) * (_least_range(frames) / _EDGE).clamp_max(1)
    return still


def _least_range(frames: Tensor) -> Tensor:
    """Range of the brightest channel in 3x3 pixels, ``(N, 1, H, W)``, in the frame where it is smaller."""
    brightness = frames.amax(1)
    ranges = F.max_pool2d(brightness, 3, 1, padding=1) + F.max_pool2d(-brightness, 3, 1, padding=1)
    return ranges.amin(1, keepdim=True)


def candidate_moves(motion: Tensor) -> Tensor:
    """Motions ``(N, 6, 2, h, w)`` worth trying: a position's own, that of four diagonal neighbors, and none."""
    height, width = motion.shape[-2:]
    padded = F.pad(motion, (_NEIGHBOR,) * 4, mode="replicate")
    starts = product((0, 2 * _NEIGHBOR), repeat=2)
    neighbors = [padded[..., y : y + height, x : x + width] for y, x in starts]
    return torch.stack([motion, *neighbors, torch.zeros_like(motion)], dim=1)


def sample_pairs(halves: tuple[Tensor, Tensor], moves: Tensor, time: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Colors ``(N, 3, h, w)`` of both halved frames along each candidate."""
    for move in (moves / 2).unbind(1):
        yield warp(halves[0], move * -time), warp(halves[1], move * (1 - time))


def cost(first: Tensor, second: Tensor) -> Tensor:
    """Mean color difference ``(N, 1, h, w)`` of two samples around each position."""
    difference = (first - second).abs().mean(1, keepdim=True)
    return F.avg_pool2d(F.pad(difference, (1,) * 4, mode="replicate"), 3, 1)


def log_importance(costs: Tensor, time: float) -> Tensor:
    """Log-importances ``(N, 2, 6, h, w)`` from ``costs (N, 6, h, w)``, and from how near each frame is."""
    share = costs.new_tensor([1 - time, time]).log()[:, None, None, None]
    logits: Tensor = share + (costs / -_TEMPERATURE).unsqueeze(1)
    return logits


def softmax(logits: Tensor) -> Tensor:
    """Importances ``(N, 2, 6, h, w)`` that sum to one over both frames and all candidates."""
    importance: Tensor = logits.flatten(1, 2).softmax(dim=1).unflatten(1, logits.shape[1:3])
    return importance


@register_model(parameters=0, input_size=(3, 2, 256, 256))
def bilateral(levels: int | None = None) -> BilateralInterpolation:
    """Sampling along motion found by matching, at any time; needs no weights."""
    return BilateralInterpolation(levels)
