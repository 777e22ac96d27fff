"""Y'CbCr to R'G'B' and back, in floating point, as the tags of the source say.

Matrices of BT.601, BT.709, BT.2020 (non-constant luminance), SMPTE 240M, FCC and YCgCo (ITU-T H.273, table 4), limited
and full range, 8 to 16 bits, any chroma subsampling. Transfer functions are not applied: PQ and HLG pictures are
processed in their coded, non-linear values. Conversion to RGB clips nothing, so codes outside the nominal range survive
a round trip.

Chroma is interpolated linearly to the luma grid, at its siting. The opposite direction uses the biorthogonal partner of
linear interpolation (for co-sited samples the analysis filter of the LeGall 5/3 wavelet), so that a round trip returns
the source's own chroma, and new content is low-pass filtered before it is subsampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ls3d.video.pixels import Layout, Plane, is_full_range, layout_of, picture_of, planes_of

#: Kr and Kb by the matrix's number in H.273.
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 BG, as BT.601
    6: (0.299, 0.114),  # BT.601
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
    10: (0.2627, 0.0593),  # BT.2020, constant luminance: treated as non-constant, in both directions
}
# Further numbers of matrices in H.273.
_RGB = 0
_BT709 = 1
_UNSPECIFIED = 2
_BT470BG = 5
_BT601 = 6
_YCGCO = 8
_BT2020 = (9, 10)

#: Whether chroma samples coincide with luma samples, horizontally and vertically, by FFmpeg's name of their siting.
_COSITED = {"left": (True, False), "center": (False, False), "topleft": (True, True), "top": (False, True)}


@dataclass(frozen=True)
class Color:
    """How the samples of a picture represent colors.

    Attributes:
        layout: planes, depth and subsampling.
        matrix: number of the matrix in H.273, never "unspecified".
        full_range: whether the nominal range is all codes, from 0 to the largest.
        cosited: whether chroma samples coincide with luma samples, horizontally and vertically.
    """

    layout: Layout
    matrix: int
    full_range: bool
    cosited: tuple[bool, bool] = (True, False)

    @classmethod
    def of(cls, picture: av.VideoFrame, location: str = "") -> Color:
        """Read the tags of a picture. Missing ones are inferred as players do (BT.709 from 720 lines up).

        Args:
            picture: its tags are read.
            location: FFmpeg's name of its chroma siting. If it is empty, the default of the standards is assumed: left
                for MPEG, top left for BT.2020, center for full-range JPEG.
        """
        layout = layout_of(picture.format.name)
        full = is_full_range(picture)
        matrix = picture.colorspace
        if layout.family == "rgb":
            matrix = _RGB
        elif matrix not in _LUMA_WEIGHTS and matrix != _YCGCO:
            matrix = untagged_matrix(picture.height, picture.width)
        jpeg = full and picture.colorspace in (_UNSPECIFIED, _BT470BG)
        return cls(layout, matrix, full, _COSITED.get(location, (not jpeg, matrix in _BT2020)))


def untagged_matrix(height: int, width: int) -> int:
    """Number of the matrix in H.273 that players assume for a size if there is no tag: BT.709 for HD, or BT.601."""
    return _BT709 if height >= 720 or width >= 1280 else _BT601


def to_rgb(picture: av.VideoFrame, color: Color, device: torch.device | str = "cpu") -> Tensor:
    """Convert a planar picture to R'G'B'.

    Args:
        picture: in the layout of ``color``.
        color: how its samples represent colors.
        device: of the result.

    Returns:
        ``(3, H, W)`` float32, nominally in [0, 1], not clipped.
    """
    planes = [_upload(plane, device) for plane in planes_of(picture)]
    depth = color.layout.depth
    size = (picture.height, picture.width)
    if color.layout.family == "rgb":
        green, blue, red = (_scale_luma(plane, depth, color.full_range) for plane in planes)
        return torch.stack([red, green, blue])
    luma = _scale_luma(planes[0], depth, color.full_range)
    if color.layout.family == "gray":
        return luma.expand(3, *size)
    chroma = _scale_chroma(torch.stack(planes[1:]), depth, color.full_range)
    chroma = _resample(chroma, color, size, up=True)
    return _multiply(_to_rgb_matrix(color.matrix), torch.cat([luma[None], chroma]))


def from_rgb(rgb: Tensor, color: Color, dither: bool = False) -> av.VideoFrame:
    """Convert R'G'B' to a picture: rounded to codes, and clipped to those that exist.

    Args:
        rgb: ``(3, H, W)``, any float type, any device.
        color: layout, matrix, range and siting of the picture.
        dither: add an ordered pattern of less than one code before rounding, for sources of greater depth.
    """
    rgb = rgb.float()
    layout = color.layout
    if layout.family == "rgb":
        components = [_luma_codes(rgb[channel], layout.depth, color.full_range) for channel in (1, 2, 0)]
    else:
        matrix = _BT601 if color.matrix == _RGB else color.matrix
        ycc = _multiply(_to_rgb_matrix(matrix).inverse(), rgb)
        components = [_luma_codes(ycc[0], layout.depth, color.full_range)]
        if layout.family == "yuv":
            chroma = _resample(ycc[1:], color, layout.plane_sizes(*rgb.shape[1:])[1], up=False)
            components += list(_chroma_codes(chroma, layout.depth, color.full_range))
    planes = [_quantize(codes, layout, dither) for codes in components]
    return picture_of(planes, layout)


def _multiply(matrix: Tensor, image: Tensor) -> Tensor:
    """Apply a ``(3, 3)`` matrix to the channels of ``(3, H, W)``."""
    product: Tensor = torch.tensordot(matrix.to(image), image, dims=1)
    return product


def _upload(plane: Plane, device: torch.device | str) -> Tensor:
    """Samples as float32 on a device. 16-bit samples are copied as int16, since few operators take uint16."""
    samples = torch.from_numpy(plane.view(np.int16) if plane.dtype == np.uint16 else plane)
    values = samples.to(device)
    return (values.int() & 0xFFFF).float() if values.dtype == torch.int16 else values.float()


def _quantize(codes: Tensor, layout: Layout, dither: bool) -> Plane:
    if dither:
        codes = codes + _bayer(*codes.shape).to(codes)
    rounded = codes.round().clamp(0, 2**layout.depth - 1).to(torch.int32)
    samples: npt.NDArray[np.int32] = rounded.cpu().numpy()
    return samples.astype(layout.dtype)


# Quantization as in H.273, section 8.3: 8-bit codes in limited range are 16 + 219 Y' and 128 + 224 C, and a power of
# two times that at greater depth.


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
    """The ``(3, 3)`` matrix from (Y', Cb, Cr) to (R', G', B'): equations 38 to 40 of H.273, inverted."""
    if matrix == _YCGCO:
        return torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, 0.0], [1.0, -1.0, -1.0]])
    kr, kb = _LUMA_WEIGHTS[matrix]
    luma = torch.tensor([kr, 1 - kr - kb, kb], dtype=torch.float64)
    unit = torch.eye(3, dtype=torch.float64)
    rows = torch.stack([luma, (unit[2] - luma) / (2 * (1 - kb)), (unit[0] - luma) / (2 * (1 - kr))])
    return rows.inverse().float()


@cache
def _bayer(height: int, width: int) -> Tensor:
    """An 8 x 8 Bayer dither pattern with values in (-1/2, 1/2), tiled to ``(height, width)``."""
    pattern = np.zeros((1, 1))
    for _ in range(3):
        pattern = np.block([[4 * pattern, 4 * pattern + 2], [4 * pattern + 3, 4 * pattern + 1]])
    tiles = np.tile((pattern + 0.5) / 64 - 0.5, (-(-height // 8), -(-width // 8)))
    return torch.from_numpy(tiles[:height, :width].astype(np.float32))


def _resample(chroma: Tensor, color: Color, size: Sequence[int], up: bool) -> Tensor:
    """Resample chroma ``(2, h, w)`` to or from the luma grid, one factor of two and one axis at a time.

    Args:
        chroma: both chroma planes.
        color: subsampling and siting.
        size: height and width of the result.
        up: to the luma grid; otherwise from it.
    """
    for axis, steps, cosited in zip((2, 1), color.layout.subsampling, color.cosited, strict=True):
        for step in reversed(range(steps)):
            if up:
                length = -(-size[axis - 1] >> step)  # halving an odd length rounds up, so doubling may be one too long
                chroma = _double(chroma, axis, cosited).narrow(axis, 0, length)
            else:
                chroma = _halve(chroma, axis, cosited)
    return chroma


def _double(x: Tensor, axis: int, cosited: bool) -> Tensor:
    """Interpolate linearly to twice as many samples; the ends are repeated."""
    x = x.movedim(axis, -1)
    before = torch.cat([x[..., :1], x[..., :-1]], -1)
    after = torch.cat([x[..., 1:], x[..., -1:]], -1)
    if cosited:
        even, odd = x, (x + after) / 2
    else:
        even, odd = 0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after
    return torch.stack([even, odd], dim=-1).flatten(-2).movedim(-1, axis)


def _halve(x: Tensor, axis: int, cosited: bool) -> Tensor:
    """Reduce to half as many samples (rounded up), such that ``_halve(_double(x)) == x``."""
    x = x.movedim(axis, -1)
    if x.shape[-1] % 2:
        # Restore the sample that was cropped: for centered chroma it is extrapolated linearly from the last two.
        cropped = x[..., -1:] if cosited or x.shape[-1] == 1 else 1.5 * x[..., -1:] - 0.5 * x[..., -2:-1]
        x = torch.cat([x, cropped], -1)
    taps = [-1 / 8, 1 / 4, 3 / 4, 1 / 4, -1 / 8] if cosited else [-1 / 4, 3 / 4, 3 / 4, -1 / 4]
    padding = (2, 2) if cosited else (1, 1)
    padded = F.pad(x.flatten(0, -2)[:, None], padding, mode="replicate")
    halved = F.conv1d(padded, torch.tensor([[taps]]).to(x), stride=2)[:, 0]
    halved = halved[:, : x.shape[-1] // 2].reshape(*x.shape[:-1], -1)
    return halved.movedim(-1, axis)
