"""Interpolation with learned importances: what ``bilateral`` does, corrected by a small network.

``bilateral`` samples both frames along the same candidate motions and counts a candidate equally in both. Where one
frame doesn't show what the other does, the right samples come from one of them alone, which only their surroundings
tell. A network at half the size sees the candidates of every position and corrects the importance of each sample. It
also shifts the first candidate of each frame, and adds a residual.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.models.enhancement._motion import crop, two_convolutions, warp, without_autocast
from ls3d.models.enhancement._synthesis import CANDIDATES, Sampling, Synthesis
from ls3d.models.enhancement.bilateral import (
    BilateralInterpolation,
    candidate_moves,
    cost,
    find_motion,
    find_still,
    halve,
    log_importance,
    sample_pairs,
    softmax,
)
from ls3d.models.registry import register_model
from ls3d.nn import initialize

#: Colors of all samples, costs, log-importances in both frames, moves, inconsistency in both frames, time.
_FEATURES = 2 * 3 * CANDIDATES + CANDIDATES + 2 * (CANDIDATES - 1) + 2 * 2 + 1

#: Log-importances of all samples, shifts in both frames, residuals of 2x2 pixels.
_CORRECTIONS = (2 * CANDIDATES, 2 * 2, 3 * 4)

#: Which of them are log-importances.
LOG_IMPORTANCES = slice(0, _CORRECTIONS[0])


class InterpolationNetPlus(BilateralInterpolation):
    """``BilateralInterpolation`` with corrected importances; at initialization they are the same.

    Args:
        width: channels of the network at half the size of the frames; at 1/4 there are twice as many, at 1/8 three
            times.
        levels: of the motion's pyramid, see :func:`ls3d.ops.bilateral_motion`.
        concentration: factor of the log-importances, positive. Above 1, the most important samples count more: frames
            are sharper, and further from the truth where these samples are wrong.

    Raises:
        ValueError: ``concentration`` is not positive.
    """

    def __init__(self, width: int = 24, levels: int | None = None, concentration: float = 1.0) -> None:
        super().__init__(levels)
        if not concentration > 0:
            raise ValueError(f"concentration is {concentration}, expected a positive number")
        self.concentration = concentration
        self.network = _UNet(_FEATURES, (width, 2 * width, 3 * width), sum(_CORRECTIONS))
        initialize(self)
        nn.init.zeros_(self.network.head.weight)

    def forward_pyramid(self, frames: Tensor, times: Sequence[float]) -> list[Tensor]:
        """Make the new frames at ``times`` from the halved frames, with the same importances, then at full size."""
        halves, synthesize = halve(frames), Synthesis(frames)
        coarse, fine = [], []
        for sampling in self._samplings(frames, times):
            samples = _stack(sample_pairs(halves, sampling.moves, sampling.time))
            coarse.append((sampling.importance.unsqueeze(3) * samples).sum((1, 2)))
            with without_autocast(frames.device):
                fine.append(synthesize(sampling))
        return [torch.stack(coarse, dim=2), torch.stack(fine, dim=2)]

    def _samplings(self, frames: Tensor, times: Sequence[float]) -> Iterator[Sampling]:
        halves, still = halve(frames), find_still(frames)
        *between, at_first, at_second = find_motion(frames, [*times, 0, 1], self.levels)
        for time, motion in zip(times, between, strict=True):
            with without_autocast(frames.device):
                moves = candidate_moves(motion)
                pairs = list(sample_pairs(halves, moves, time))
                costs = torch.cat([cost(*pair) for pair in pairs], dim=1)
                inconsistency = [
                    warp(at_first, motion * (-time / 2)) - motion,
                    warp(at_second, motion * ((1 - time) / 2)) - motion,
                ]
                features = _features(halves, _stack(pairs), costs, moves, inconsistency, time)
            change, shift, residual = self.network(features).to(frames.dtype).split(_CORRECTIONS, dim=1)
            logits = log_importance(costs, time)
            yield Sampling(
                time,
                moves,
                softmax((logits + change.unflatten(1, logits.shape[1:3])) * self.concentration),
                still,
                shift.unflatten(1, (2, 2)),
                0.1 * crop(F.pixel_shuffle(residual, 2), *frames.shape[-2:]),
            )


def _stack(pairs: Iterator[tuple[Tensor, Tensor]] | list[tuple[Tensor, Tensor]]) -> Tensor:
    """Samples ``(N, 2, 6, 3, h, w)`` of both frames along all candidates."""
    first, second = zip(*pairs, strict=True)
    return torch.stack([torch.stack(first, dim=1), torch.stack(second, dim=1)], dim=1)


def _features(
    halves: tuple[Tensor, Tensor],
    samples: Tensor,
    costs: Tensor,
    moves: Tensor,
    inconsistency: Sequence[Tensor],
    time: float,
) -> Tensor:
    """Input ``(N, C, h, w)`` of the network, about between -1 and 1.

    Args:
        halves: the halved frames ``(N, 3, h, w)``; their mean color is subtracted.
        samples: of them along all candidates, ``(N, 2, 6, 3, h, w)``.
        costs: ``(N, 6, h, w)``.
        moves: ``(N, 6, 2, h, w)``.
        inconsistency: by how many pixels the motion seen from either frame differs, each ``(N, 2, h, w)``.
        time: of the new frame.
    """
    mean = (halves[0] + halves[1]).mean((2, 3), keepdim=True) / 2
    colors = samples - mean[:, None, None]
    return torch.cat(
        [
            2 * colors.flatten(1, 3),
            (10 * costs).clamp_max(4),
            (moves[:, :-1].flatten(1, 2) / 16).clamp(-4, 4),
            (torch.cat(list(inconsistency), dim=1) / 4).clamp(-4, 4),
            torch.full_like(costs[:, :1], 2 * time - 1),
        ],
        dim=1,
    )


class _UNet(nn.Module):
    """Two convolutions at each of three sizes, on the way down and on the way up.

    Args:
        in_channels: of the input.
        widths: channels at the full size, at 1/2 and at 1/4.
        out_channels: of the output.
    """

    def __init__(self, in_channels: int, widths: tuple[int, int, int], out_channels: int) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.down = nn.ModuleList(
            [two_convolutions(in_channels, fine), two_convolutions(fine, middle), two_convolutions(middle, coarse)]
        )
        self.up = nn.ModuleList([two_convolutions(coarse + middle, middle), two_convolutions(middle + fine, fine)])
        self.head = nn.Conv2d(fine, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, h, w)`` to ``(N, out_channels, h, w)``."""
        skipped: list[Tensor] = []
        for stage in self.down:
            x = stage(F.avg_pool2d(x, 2, ceil_mode=True) if skipped else x)
            skipped.append(x)
        for stage, skip in zip(self.up, skipped[-2::-1], strict=True):
            enlarged = F.interpolate(x, size=skip.shape[-2:], mode="bilinear")
            x = stage(torch.cat([enlarged, skip], dim=1))
        output: Tensor = self.head(x)
        return output


@register_model(input_size=(3, 2, 256, 512))
def vfi_ls3d_plus_s(width: int = 24, levels: int | None = None) -> InterpolationNetPlus:
    """Frame interpolation with learned importances of samples along bilateral motion, small."""
    return InterpolationNetPlus(width, levels)


@register_model(input_size=(3, 2, 256, 512))
def vfi_ls3d_plus_m(width: int = 48, levels: int | None = None) -> InterpolationNetPlus:
    """Frame interpolation with learned importances of samples along bilateral motion, medium."""
    return InterpolationNetPlus(width, levels)


@register_model(input_size=(3, 2, 256, 512))
def vfi_ls3d_plus_l(width: int = 80, levels: int | None = None) -> InterpolationNetPlus:
    """Frame interpolation with learned importances of samples along bilateral motion, large."""
    return InterpolationNetPlus(width, levels)


@register_model(input_size=(3, 2, 256, 512))
def vfi_ls3d_plus_sharp(width: int = 24, levels: int | None = None, concentration: float = 2.0) -> InterpolationNetPlus:
    """Frame interpolation as by vfi_ls3d_plus_s, with sharper frames and a lower PSNR."""
    return InterpolationNetPlus(width, levels, concentration)
