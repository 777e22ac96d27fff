"""Samples of two frames along candidate motions, weighted: equation (3) of the LS3D-Conv paper (arXiv:2011.10974).

Motions and importances are given at half the size. A convex sum of bilinear samples is blurred at half a pixel, so
further taps with masks of both signs turn the bilinear sample along the mean motion into a bicubic one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.ops import ls3d_conv3d

#: Number of candidates in each frame. The last one is no motion and is sampled bilinearly only.
CANDIDATES = 6

#: Parameter of the cubic kernel (Keys 1981).
_CUBIC = -0.75

#: The taps in each frame lie in this grid of the kernel: six candidates, then six of the bicubic correction.
_KERNEL = (2, 2, 6)
_PADDING = (0, 1, 5)
_STEP = 2

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


def synthesize(frames: Tensor, sampling: Sampling) -> Tensor:
    """Make a new frame, a band of rows after the other.

    Args:
        frames: ``(N, 3, 2, H, W)``; ``channels_last_3d`` is fastest.
        sampling: with ``h = ceil(H / 2)`` and ``w = ceil(W / 2)``.

    Returns:
        ``(N, 3, H, W)``.
    """
    height, width = frames.shape[-2:]
    rows = min(height, max(2, _BAND_PIXELS // width // 2 * 2))
    last = sampling.moves.new_tensor([height - 1, width - 1])[:, None, None]
    identity = torch.eye(3, dtype=frames.dtype, device=frames.device)
    kernel = identity[:, :, None, None, None].expand(3, 3, *_KERNEL).contiguous()
    bands = []
    for top in range(0, height, rows):
        band = range(top, min(top + rows, height))
        pixel = _pixels(band, width, sampling.moves)
        position, mask = _place(sampling, band, pixel, last)
        # A kernel as tall as the rest of the frame makes just these rows out of all.
        dilation = height + 2 * _PADDING[1] - len(band)
        regular = pixel - pixel[:, :1, :1] + _kernel_grid(dilation, sampling.moves)
        output = ls3d_conv3d(
            frames,
            position.sub_(regular).flatten(1, 2).unsqueeze(2),
            mask.unsqueeze(2),
            kernel,
            padding=_PADDING,
            dilation=(1, dilation, _STEP),
        )
        bands.append(output[:, :, 0])
    made = torch.cat(bands, dim=2)
    return made if sampling.residual is None else made + sampling.residual


def enlarge(maps: Tensor, band: range, width: int) -> Tensor:
    """Rows ``band`` of ``maps (N, C, h, w)`` at twice the size, bilinearly; the band starts at an even row."""
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


def _place(sampling: Sampling, band: range, pixel: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Where to sample for a band of rows, and how much it counts.

    Args:
        sampling: that of the frame.
        band: the rows.
        pixel: ``(2, rows, W)``, row and column of each pixel in the frame.
        last: ``(2, 1, 1)``, the last row and column.

    Returns:
        Positions ``(N, 24, 2, rows, W)`` in the frame and masks ``(N, 24, rows, W)``.
    """
    width = pixel.shape[-1]
    zero = pixel.new_zeros(())
    moves = enlarge(sampling.moves.flatten(1, 2), band, width).unflatten(1, (-1, 2))
    importance = enlarge(sampling.importance.flatten(1, 2), band, width).unflatten(1, (2, -1))
    still = sampling.still[:, :, band.start : band.stop]
    positions, masks = [], []
    for number, factor in enumerate((-sampling.time, 1 - sampling.time)):
        part = importance[:, number] * (1 - still)
        moving = part[:, :-1]
        share = moving.sum(1, keepdim=True)
        mean = (moves[:, :-1] * moving.unsqueeze(2)).sum(1) / share.clamp_min(1e-12)
        straight = torch.add(pixel, moves, alpha=factor)
        center = torch.add(pixel, mean, alpha=factor)
        if sampling.correction is not None:
            shift = enlarge(sampling.correction[:, number], band, width)
            straight = torch.cat([straight[:, :1] + shift.unsqueeze(1), straight[:, 1:]], dim=1)
            center = center + shift * (moving[:, :1] / share.clamp_min(1e-12))
        straight, center = straight.clamp_(zero, last), center.clamp_(zero, last)
        sharp, strength = _cubic_taps(center, last)
        positions += [straight, sharp, center.unsqueeze(1)]
        masks += [moving, part[:, -1:] + still * (1 - abs(factor)), share * strength, -share]
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
