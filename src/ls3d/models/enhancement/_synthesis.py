"""Samples of two frames along candidate motions, weighted: equation (3) of the LS3D-Conv paper (arXiv:2011.10974).

Motions and importances are given at half the size. A convex sum of bilinear samples is blurred at half a pixel, so a
bicubic sample along the mean motion is added and a bilinear one subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.ops import Interpolation, ls3d_conv3d

#: Number of candidates in each frame. The last one is no motion and is sampled bilinearly only.
CANDIDATES = 6

#: Pixels by which the frames are enlarged for bicubic samples, which would read zeros beyond the edge.
_MARGIN = 2

#: An offset of taps that aren't used: it samples zero.
_OUTSIDE = -1e6

#: Pixels that are made at a time: bounds the memory of offsets and masks.
_BAND_PIXELS = 1 << 15


@dataclass(frozen=True)
class Sampling:
    """Where the two frames are sampled for a new one, how much each sample counts, and what is added.

    Attributes:
        time: of the new frame, between 0 and 1.
        moves: ``(N, 6, 2, h, w)``, candidate motions (dy, dx) of the whole interval in pixels of the full size; the
            last one is zero.
        importance: ``(N, 2, 6, h, w)``, of each candidate in each frame; the twelve sum to one.
        still: ``(N, 1, H, W)`` in [0, 1], how much the last candidate replaces all others at a pixel.
        correction: ``(N, 2, 2, h, w)``, by how many pixels the first candidate's position in each frame is shifted;
            None is not at all.
        residual: ``(N, 3, H, W)``, what is added to the samples; None is nothing.
    """

    time: float
    moves: Tensor
    importance: Tensor
    still: Tensor
    correction: Tensor | None = None
    residual: Tensor | None = None


class Synthesis:
    """Makes new frames between two.

    Args:
        frames: ``(N, 3, 2, H, W)``, floating.
    """

    def __init__(self, frames: Tensor) -> None:
        self._frames = frames.contiguous(memory_format=torch.channels_last_3d)
        large = F.pad(frames.flatten(1, 2), (_MARGIN,) * 4, mode="replicate").unflatten(1, (3, 2))
        self._large = large.contiguous(memory_format=torch.channels_last_3d)

    def __call__(self, sampling: Sampling) -> Tensor:
        """Make a frame ``(N, 3, H, W)``, a band of rows after the other."""
        height, width = self._frames.shape[-2:]
        rows = min(height, max(2, _BAND_PIXELS // width // 2 * 2))
        last = sampling.moves.new_tensor([height - 1, width - 1])[:, None, None]
        bands = []
        for top in range(0, height, rows):
            band = range(top, min(top + rows, height))
            position, mask = _place(sampling, band, width, last)
            sharp = _sample(self._large, position[:, :, -1:] + _MARGIN, -mask[:, :, -1:], "bicubic")
            bands.append(_sample(self._frames, position, mask, "bilinear") + sharp)
        made = torch.cat(bands, dim=2)
        return made if sampling.residual is None else made + sampling.residual


def _place(sampling: Sampling, band: range, width: int, last: Tensor) -> tuple[Tensor, Tensor]:
    """Where to sample for a band of rows, and how much it counts.

    Args:
        sampling: that of the frame.
        band: the rows.
        width: of the frame.
        last: ``(2, 1, 1)``, the last row and column.

    Returns:
        Positions ``(N, 2, 7, 2, rows, W)`` in the two frames and masks ``(N, 2, 7, rows, W)``: of the candidates, and
        of the mean motion, whose mask is negative.
    """
    pixel = _pixels(band, width, sampling.moves)
    moves = _enlarge(sampling.moves.flatten(1, 2), band, width).unflatten(1, (-1, 2))
    importance = _enlarge(sampling.importance.flatten(1, 2), band, width).unflatten(1, (2, -1))
    still = sampling.still[:, :, band.start : band.stop]
    zero = last.new_zeros(())
    positions, masks = [], []
    for number, factor in enumerate((-sampling.time, 1 - sampling.time)):
        part = importance[:, number] * (1 - still)
        moving = part[:, :-1]
        share = moving.sum(1, keepdim=True)
        mean = (moves[:, :-1] * moving.unsqueeze(2)).sum(1, keepdim=True) / share.clamp_min(1e-12).unsqueeze(2)
        position = torch.add(pixel, torch.cat([moves, mean], dim=1), alpha=factor)
        if sampling.correction is not None:
            shift = _enlarge(sampling.correction[:, number], band, width).unsqueeze(1)
            own = (moving[:, :1] / share.clamp_min(1e-12)).unsqueeze(2)
            position = torch.cat([position[:, :1] + shift, position[:, 1:-1], position[:, -1:] + shift * own], dim=1)
        positions.append(position.clamp_(zero, last))
        masks.append(torch.cat([moving, part[:, -1:] + still * (1 - abs(factor)), -share], dim=1))
    return torch.stack(positions, dim=1), torch.stack(masks, dim=1)


def _sample(frames: Tensor, position: Tensor, mask: Tensor, interpolation: Interpolation) -> Tensor:
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


def _enlarge(maps: Tensor, band: range, width: int) -> Tensor:
    """Rows ``band`` of ``maps (N, C, h, w)`` at twice the size, bilinearly; the band starts at an even row."""
    rows = torch.arange(band.start // 2 - 1, (band.stop + 1) // 2 + 1, device=maps.device)
    near = maps.index_select(2, rows.clamp(0, maps.shape[2] - 1))
    return F.interpolate(near, scale_factor=2, mode="bilinear")[:, :, 2 : 2 + len(band), :width]


def _pixels(band: range, width: int, like: Tensor) -> Tensor:
    """Row and column ``(2, len(band), width)`` of every pixel of a band."""
    y = torch.arange(band.start, band.stop, device=like.device)
    x = torch.arange(width, device=like.device)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")).to(like.dtype)
