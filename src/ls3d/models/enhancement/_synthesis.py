"""Samples of two frames along candidate motions, weighted: equation (3) of the LS3D-Conv paper (arXiv:2011.10974).

Motions and importances are given at half the size. A convex sum of bilinear samples is blurred at half a pixel, so a
bicubic sample along the mean motion is added and a bilinear one subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.models.enhancement._motion import crop
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
        bands = []
        for band in _bands_of(height, width):
            position, mask = _place(sampling, band, height, width)
            sharp = _sample(self._large, position[:, :, -1:] + _MARGIN, -mask[:, :, -1:], "bicubic")
            bands.append(_sample(self._frames, position, mask, "bilinear") + sharp)
        made = torch.cat(bands, dim=2)
        return made if sampling.residual is None else made + sampling.residual


@dataclass(frozen=True)
class _Band:
    """The rows of a frame from an even one, ``top``, to the one before ``bottom``."""

    top: int
    bottom: int

    @property
    def height(self) -> int:
        return self.bottom - self.top


def _bands_of(height: int, width: int) -> list[_Band]:
    """Divide a frame into bands; a graph that is compiled or exported for any size makes the frame as a whole."""
    if torch.compiler.is_compiling():
        return [_Band(0, height)]
    rows = max(2, _BAND_PIXELS // width // 2 * 2)
    return [_Band(top, min(top + rows, height)) for top in range(0, height, rows)]


def _place(sampling: Sampling, band: _Band, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where to sample for a band of rows, and how much it counts.

    Args:
        sampling: that of the frame.
        band: the rows.
        height, width: of the frame.

    Returns:
        Positions ``(N, 2, 7, 2, rows, W)`` in the two frames and masks ``(N, 2, 7, rows, W)``: of the candidates, and
        of the mean motion, whose mask is negative.
    """
    pixel = _pixels(band, width, sampling.moves)
    moves = _enlarge(sampling.moves.flatten(1, 2), band, width).unflatten(1, (-1, 2))
    importance = _enlarge(sampling.importance.flatten(1, 2), band, width).unflatten(1, (2, -1))
    still = sampling.still[:, :, band.top : band.bottom]
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
        row, column = position.unbind(2)
        positions.append(torch.stack([row.clamp(0, height - 1), column.clamp(0, width - 1)], dim=2))
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
    regular = _pixels(_Band(0, rows), columns, frames) + grid[:, :, None, None]
    offset = frames.new_full((frames.shape[0], 2, 2 * across, 2, rows, width), _OUTSIDE)
    offset[:, :, :taps, :, :, :columns] = position - regular
    importance = frames.new_zeros(frames.shape[0], 2, 2 * across, rows, width)
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


def _enlarge(maps: Tensor, band: _Band, width: int) -> Tensor:
    """Rows ``band`` of ``maps (N, C, h, w)`` at twice the size, bilinearly; the band starts at an even row."""
    rows = torch.arange(band.top // 2 - 1, (band.bottom + 1) // 2 + 1, device=maps.device)
    near = maps.index_select(2, rows.clamp(0, maps.shape[2] - 1))
    return crop(F.interpolate(near, scale_factor=2, mode="bilinear"), band.height, width, top=2)


def _pixels(band: _Band, width: int, like: Tensor) -> Tensor:
    """Row and column ``(2, band.height, width)`` of every pixel of a band."""
    y = torch.arange(band.top, band.bottom, device=like.device)
    x = torch.arange(width, device=like.device)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")).to(like.dtype)
