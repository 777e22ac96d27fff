"""Y'CbCr to R'G'B' and back, in float, by the tags of the source.

Matrices of BT.601, BT.709, BT.2020 (non-constant luminance), SMPTE 240M, FCC and YCgCo (ITU-T H.273, table
4), limited and full range, 8 to 16 bits, any chroma subsampling. Transfer functions are left alone: PQ and
HLG pictures are processed in their coded, non-linear space. Nothing is clipped on the way to RGB, so codes
outside the nominal range survive.

Chroma is interpolated linearly to the luma grid, at its siting. The way back is the biorthogonal partner of
linear interpolation (for co-sited samples the analysis filter of the LeGall 5/3 wavelet), so that a round
trip gives the source's own chroma back and what a network makes is low-passed before it is subsampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.video.pixels import Layout, is_full_range, layout_of, picture_of, planes_of

#: Kr and Kb by the number that H.273 gives a matrix.
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 BG, as BT.601
    6: (0.299, 0.114),  # BT.601
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
    10: (0.2627, 0.0593),  # BT.2020 constant luminance, handled as if not constant, both ways alike
}
_RGB, _UNSPECIFIED, _YCGCO = 0, 2, 8
_BT709, _BT601 = 1, 6


@dataclass(frozen=True)
class Color:
    """How the samples of a picture stand for colors.

    Attributes:
        layout: planes, depth and subsampling.
        matrix: number of the matrix in H.273, never "unspecified".
        full_range: whether codes run from 0 to the largest one.
        cosited: whether chroma samples lie on luma samples, horizontally and vertically.
    """

    layout: Layout
    matrix: int
    full_range: bool
    cosited: tuple[bool, bool] = (True, False)

    @classmethod
    def of(cls, picture: av.VideoFrame) -> Color:
        """Read the tags of a picture; what is missing is guessed as players do (BT.709 from 720 lines up).

        Siting isn't told by the decoder: it is the default of the standards (left for MPEG, top left for
        BT.2020, center for full-range JPEG).
        """
        layout, full = layout_of(picture.format.name), is_full_range(picture)
        matrix = picture.colorspace
        if layout.family == "rgb":
            matrix = _RGB
        elif matrix not in _LUMA_WEIGHTS and matrix != _YCGCO:
            matrix = _BT709 if picture.height >= 720 or picture.width >= 1280 else _BT601
        jpeg = full and picture.colorspace in (_UNSPECIFIED, 5)
        return cls(layout, matrix, full, (not jpeg, matrix in (9, 10)))


def to_rgb(picture: av.VideoFrame, color: Color, device: torch.device | str = "cpu") -> Tensor:
    """A planar picture as ``(3, H, W)`` float32 R'G'B', nominally in [0, 1], not clipped."""
    planes = [_upload(plane, device) for plane in planes_of(picture)]
    depth, height, width = color.layout.depth, picture.height, picture.width
    if color.layout.family == "rgb":
        green, blue, red = (_scale_luma(plane, depth, color.full_range) for plane in planes)
        return torch.stack([red, green, blue])
    luma = _scale_luma(planes[0], depth, color.full_range)
    if color.layout.family == "gray":
        return luma.expand(3, height, width)
    chroma = _scale_chroma(torch.stack(planes[1:]), depth, color.full_range)
    chroma = _resample(chroma, color, (height, width), up=True)
    return torch.tensordot(_to_rgb_matrix(color.matrix).to(luma), torch.cat([luma[None], chroma]), dims=1)


def from_rgb(rgb: Tensor, color: Color, dither: bool = False) -> av.VideoFrame:
    """``(3, H, W)`` R'G'B' as a picture: rounded to codes, and clipped to those that exist.

    Args:
        rgb: any float type, any device.
        color: what the picture should be.
        dither: add an ordered pattern below one code before rounding, for sources of greater depth.
    """
    rgb, layout = rgb.float(), color.layout
    if layout.family == "rgb":
        components = [_luma_codes(rgb[channel], layout.depth, color.full_range) for channel in (1, 2, 0)]
    else:
        matrix = _BT601 if color.matrix == _RGB else color.matrix
        ycc = torch.tensordot(_to_rgb_matrix(matrix).inverse().to(rgb), rgb, dims=1)
        components = [_luma_codes(ycc[0], layout.depth, color.full_range)]
        if layout.family == "yuv":
            chroma = _resample(ycc[1:], color, layout.plane_sizes(*rgb.shape[1:])[1], up=False)
            components += list(_chroma_codes(chroma, layout.depth, color.full_range))
    planes = [_quantize(codes, layout, dither) for codes in components]
    return picture_of(planes, layout)


def _upload(plane: np.ndarray, device: torch.device | str) -> Tensor:
    samples = torch.from_numpy(plane.view(np.int16) if plane.dtype == np.uint16 else plane)
    values = samples.to(device)
    return (values.int() & 0xFFFF).float() if values.dtype == torch.int16 else values.float()


def _quantize(codes: Tensor, layout: Layout, dither: bool) -> np.ndarray:
    if dither:
        codes = codes + _bayer(*codes.shape).to(codes)
    rounded = codes.round().clamp(0, 2**layout.depth - 1).to(torch.int32)
    return rounded.cpu().numpy().astype(layout.dtype)


def _scale_luma(codes: Tensor, depth: int, full: bool) -> Tensor:
    return codes / (2**depth - 1) if full else (codes - (16 << depth - 8)) / (219 << depth - 8)


def _luma_codes(luma: Tensor, depth: int, full: bool) -> Tensor:
    return luma * (2**depth - 1) if full else luma * (219 << depth - 8) + (16 << depth - 8)


def _scale_chroma(codes: Tensor, depth: int, full: bool) -> Tensor:
    return (codes - (1 << depth - 1)) / ((2**depth - 1) if full else (224 << depth - 8))


def _chroma_codes(chroma: Tensor, depth: int, full: bool) -> Tensor:
    return chroma * ((2**depth - 1) if full else (224 << depth - 8)) + (1 << depth - 1)


@cache
def _to_rgb_matrix(matrix: int) -> Tensor:
    """The matrix that takes (Y', Cb, Cr) to (R', G', B'), H.273 equations 38 to 40 inverted."""
    if matrix == _YCGCO:
        return torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, 0.0], [1.0, -1.0, -1.0]])
    kr, kb = _LUMA_WEIGHTS[matrix]
    luma = torch.tensor([kr, 1 - kr - kb, kb], dtype=torch.float64)
    unit = torch.eye(3, dtype=torch.float64)
    rows = torch.stack([luma, (unit[2] - luma) / (2 * (1 - kb)), (unit[0] - luma) / (2 * (1 - kr))])
    return rows.inverse().float()


@cache
def _bayer(height: int, width: int) -> Tensor:
    """An 8 x 8 ordered dither pattern with values in (-1/2, 1/2), repeated over the plane."""
    pattern = np.zeros((1, 1))
    for _ in range(3):
        pattern = np.block([[4 * pattern, 4 * pattern + 2], [4 * pattern + 3, 4 * pattern + 1]])
    tiles = np.tile((pattern + 0.5) / 64 - 0.5, (-(-height // 8), -(-width // 8)))
    return torch.from_numpy(tiles[:height, :width].astype(np.float32))


def _resample(chroma: Tensor, color: Color, size: Sequence[int], up: bool) -> Tensor:
    """Chroma ``(2, h, w)`` to or from the luma grid, one factor of two and one axis at a time."""
    for axis, steps, cosited in zip((2, 1), color.layout.subsampling, color.cosited, strict=True):
        # Odd sizes: each halving rounds up, so the sizes on the way are known from the larger one.
        larger = size[axis - 1] if up else chroma.shape[axis]
        ladder = [-(-larger >> step) for step in range(steps + 1)]
        for step in range(steps):
            if up:
                chroma = _double(chroma, axis, cosited).narrow(axis, 0, ladder[steps - 1 - step])
            else:
                chroma = _halve(chroma, axis, cosited)
    return chroma


def _double(x: Tensor, axis: int, cosited: bool) -> Tensor:
    """Linear interpolation to twice as many samples; the ends are repeated."""
    x = x.movedim(axis, -1)
    before, after = torch.cat([x[..., :1], x[..., :-1]], -1), torch.cat([x[..., 1:], x[..., -1:]], -1)
    pair = (x, (x + after) / 2) if cosited else (0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after)
    return torch.stack(pair, dim=-1).flatten(-2).movedim(-1, axis)


def _halve(x: Tensor, axis: int, cosited: bool) -> Tensor:
    """Half as many samples (rounded up), such that ``_halve(_double(x)) == x``."""
    x = x.movedim(axis, -1)
    if x.shape[-1] % 2:
        # The sample that was cropped off: for centered chroma it continues the line of the last two.
        cropped = x[..., -1:] if cosited or x.shape[-1] == 1 else 1.5 * x[..., -1:] - 0.5 * x[..., -2:-1]
        x = torch.cat([x, cropped], -1)
    taps, left = ((-1 / 8, 1 / 4, 3 / 4, 1 / 4, -1 / 8), 2) if cosited else ((-1 / 4, 3 / 4, 3 / 4, -1 / 4), 1)
    padded = F.pad(x.flatten(0, -2)[:, None], (left, 2 if cosited else 1), mode="replicate")
    halved = F.conv1d(padded, torch.tensor([[taps]]).to(x), stride=2)[:, 0]
    return halved[:, : x.shape[-1] // 2].unflatten(0, x.shape[:-1]).movedim(-1, axis)
