"""Conversion between decoded pictures and numpy planes, without changing a value.

A picture is an ``av.VideoFrame``. The modules that build on this one see planar little-endian formats only:
semi-planar, packed and palette formats are repacked (values kept, alpha dropped), and the deprecated ``yuvj*``
names become ``yuv*`` with a full-range tag.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.plane import VideoPlane

from ls3d.errors import InputError

FULL_RANGE = 2  # AVCOL_RANGE_JPEG
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG

#: Samples of one plane, ``(height, width)``, uint8 or uint16.
Plane = npt.NDArray[Any]

#: Luma in one plane, Cb and Cr interleaved in another.
_SEMI_PLANAR = re.compile(r"nv(12|21|16|24|42)$|p[024]1[026]le$")

#: FFmpeg's names of chroma formats, by log2 of the horizontal and vertical subsampling.
_CHROMA_NAMES = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (2, 0): "411", (2, 2): "410", (0, 1): "440"}


@dataclass(frozen=True)
class Layout:
    """A planar pixel format.

    Attributes:
        name: FFmpeg's name, for example ``"yuv420p10le"``.
        family: ``"yuv"``, ``"rgb"`` (planes in the order G, B, R) or ``"gray"``.
        depth: bits per sample, 8 to 16.
        subsampling: log2 of the chroma subsampling, horizontal and vertical.
    """

    name: str
    family: str
    depth: int
    subsampling: tuple[int, int] = (0, 0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of a sample: uint8, or little-endian uint16 for more than 8 bits."""
        return np.dtype("<u2") if self.depth > 8 else np.dtype("u1")

    def plane_sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width of each plane of a picture; chroma sizes are rounded up."""
        if self.family == "gray":
            return [(height, width)]
        x, y = self.subsampling
        chroma = (-(-height >> y), -(-width >> x))
        return [(height, width), chroma, chroma]


@cache
def layout_of(pix_fmt: str) -> Layout:
    """The planar layout that holds all samples of a pixel format except alpha.

    Args:
        pix_fmt: FFmpeg's name.

    Raises:
        InputError: there is no such format, or no such layout (hardware surfaces, Bayer patterns, floating point).
    """
    try:
        pixel_format = av.VideoFormat(pix_fmt)
    except ValueError as error:
        raise InputError(f"{pix_fmt!r} is not a pixel format") from error
    components = [c for c in pixel_format.components if not c.is_alpha]
    depth = 8 if pixel_format.has_palette else max((c.bits for c in components), default=0)
    if not 0 < depth <= 16 or "bayer" in pix_fmt or "f16" in pix_fmt or "f32" in pix_fmt:
        raise InputError(f"pixel format {pix_fmt} is not supported; expected integer YUV, RGB or gray samples")
    depth = max(depth, 8)
    suffix = f"{depth}le" if depth > 8 else ""
    if pixel_format.is_rgb or pixel_format.has_palette or pix_fmt.startswith("xyz"):
        return Layout(f"gbrp{suffix}", "rgb", depth)
    if len(components) == 1:
        return Layout(f"gray{suffix}", "gray", depth)
    ratios = pixel_format.chroma_width(64), pixel_format.chroma_height(64)
    x, y = (6 - int(size).bit_length() + 1 for size in ratios)
    return Layout(f"yuv{_CHROMA_NAMES[x, y]}p{suffix}", "yuv", depth, (x, y))


def gray_layout(depth: int) -> Layout:
    """The layout with one plane of this number of bits."""
    return Layout(f"gray{depth}le" if depth > 8 else "gray", "gray", depth)


def is_full_range(picture: av.VideoFrame) -> bool:
    """Whether the samples use the full range of codes. Where the picture has no range tag, only RGB does."""
    if picture.format.name.startswith("yuvj"):
        return True
    if picture.color_range in (FULL_RANGE, LIMITED_RANGE):
        return picture.color_range == FULL_RANGE
    return layout_of(picture.format.name).family == "rgb"


def planar(picture: av.VideoFrame) -> av.VideoFrame:
    """Repack a picture into its planar layout without changing a sample; a planar picture is returned as it is."""
    layout = layout_of(picture.format.name)
    if picture.format.name == layout.name:
        return picture
    if picture.format.name.startswith("yuvj"):
        result = picture_of(planes_of(picture), layout)
        copy_properties(picture, result)
        result.color_range = FULL_RANGE
        return result
    if _has_alpha_plane(picture.format):
        result = picture_of(_opaque_planes(picture, layout), layout)
        copy_properties(picture, result)
        return result
    if _SEMI_PLANAR.match(picture.format.name):
        result = picture_of(_separate_chroma(picture, layout), layout)
        copy_properties(picture, result)
        return result
    # The same range on both sides: otherwise FFmpeg's scaler would convert the codes.
    color_range = "JPEG" if is_full_range(picture) else "MPEG"
    try:
        result = picture.reformat(format=layout.name, src_color_range=color_range, dst_color_range=color_range)
    except av.FFmpegError as error:
        raise InputError(f"pixel format {picture.format.name} is not supported: FFmpeg can't convert it") from error
    copy_properties(picture, result)
    return result


def _has_alpha_plane(pixel_format: av.VideoFormat) -> bool:
    return pixel_format.name.startswith(("yuva", "gbrap"))


def _opaque_planes(picture: av.VideoFrame, layout: Layout) -> list[Plane]:
    """Planes of a planar picture without alpha, which comes last.

    Done here because FFmpeg's scaler writes wrong samples when it drops the alpha of deep planar RGB.
    """
    planes = planes_of(picture)
    return [plane.byteswap() for plane in planes] if picture.format.is_big_endian and layout.depth > 8 else planes


def _separate_chroma(picture: av.VideoFrame, layout: Layout) -> list[Plane]:
    """Planes of a semi-planar picture. Samples of its 10- to 16-bit formats occupy the upper bits.

    Done here because FFmpeg's scaler occasionally (once in 200 pictures) drops samples of P010.
    """
    luma_size, (chroma_height, chroma_width), _ = layout.plane_sizes(picture.height, picture.width)
    luma = plane_samples(picture.planes[0], layout.dtype, *luma_size)
    chroma = plane_samples(picture.planes[1], layout.dtype, chroma_height, 2 * chroma_width)
    if picture.format.name.startswith("p"):
        luma = luma >> (16 - layout.depth)
        chroma = chroma >> (16 - layout.depth)
    swapped = picture.format.name in ("nv21", "nv42")
    return [luma, chroma[:, int(swapped) :: 2], chroma[:, int(not swapped) :: 2]]


def copy_properties(source: av.VideoFrame, target: av.VideoFrame) -> None:
    """Copy the timestamp and the color tags of ``source`` to ``target``."""
    target.pts = source.pts
    target.duration = source.duration
    if source.time_base is not None:
        target.time_base = source.time_base
    for name in ("colorspace", "color_range", "color_trc", "color_primaries"):
        setattr(target, name, getattr(source, name))


def planes_of(picture: av.VideoFrame) -> list[Plane]:
    """The planes of a planar picture, ``(height, width)`` each, uint8 or uint16, as views of its memory."""
    layout = layout_of(picture.format.name)
    sizes = layout.plane_sizes(picture.height, picture.width)
    # A picture may have more planes than its layout: alpha comes last.
    return [plane_samples(plane, layout.dtype, *size) for plane, size in zip(picture.planes, sizes, strict=False)]


def plane_samples(plane: VideoPlane, dtype: np.dtype[Any], height: int, width: int) -> Plane:
    """Samples of one plane of a picture, ``(height, width)``, as a view of its memory."""
    stride = plane.line_size // dtype.itemsize
    samples = np.frombuffer(memoryview(plane), dtype)
    return samples[: height * stride].reshape(height, stride)[:, :width]


def picture_of(planes: Sequence[Plane], layout: Layout) -> av.VideoFrame:
    """A picture that holds a copy of these planes.

    Args:
        planes: ``(height, width)`` each, in the sizes of ``Layout.plane_sizes``.
        layout: pixel format of the picture.
    """
    height, width = planes[0].shape
    picture = av.VideoFrame(width, height, layout.name)
    for view, plane in zip(planes_of(picture), planes, strict=True):
        view[:] = plane
    return picture


def same_pixels(first: av.VideoFrame, second: av.VideoFrame) -> bool:
    """Whether two planar pictures have the same format, size and samples."""
    first_format = (first.format.name, first.width, first.height)
    second_format = (second.format.name, second.width, second.height)
    if first_format != second_format:
        return False
    return all(np.array_equal(a, b) for a, b in zip(planes_of(first), planes_of(second), strict=True))
