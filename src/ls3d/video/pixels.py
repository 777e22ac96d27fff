"""Pixels of decoded pictures as numpy planes, and back, without changing a value.

A picture is an ``av.VideoFrame``. Everything above this module sees planar little-endian formats only:
semi-planar, packed and palette formats are repacked (values kept, alpha left out), and the deprecated
``yuvj*`` names become ``yuv*`` with a full-range tag.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import av
import numpy as np
from av.video.plane import VideoPlane

from ls3d.errors import InputError

FULL_RANGE = 2  # AVCOL_RANGE_JPEG
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG

_SEMI_PLANAR = re.compile(r"nv(12|21|16|24|42)$|p[024]1[026]le$")


@dataclass(frozen=True)
class Layout:
    """How the samples of a planar format lie.

    Attributes:
        name: FFmpeg's name, for example ``"yuv420p10le"``.
        family: ``"yuv"``, ``"rgb"`` (planes in the order G, B, R) or ``"gray"``.
        depth: bits of a sample, 8 to 16.
        subsampling: log2 of the chroma subsampling, horizontal and vertical.
    """

    name: str
    family: str
    depth: int
    subsampling: tuple[int, int] = (0, 0)

    @property
    def dtype(self) -> np.dtype:
        """The type of a sample: uint8, or uint16 for more than 8 bits."""
        return np.dtype("<u2") if self.depth > 8 else np.dtype("u1")

    def plane_sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width of every plane of a picture."""
        if self.family == "gray":
            return [(height, width)]
        x, y = self.subsampling
        chroma = (-(-height >> y), -(-width >> x))
        return [(height, width), chroma, chroma]


@cache
def layout_of(pix_fmt: str) -> Layout:
    """The planar layout that holds every sample (but alpha) of a pixel format.

    Raises:
        InputError: the format has no such layout (hardware surfaces, Bayer patterns, floating point).
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
    names = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (2, 0): "411", (2, 2): "410", (0, 1): "440"}
    return Layout(f"yuv{names[x, y]}p{suffix}", "yuv", depth, (x, y))


def is_full_range(picture: av.VideoFrame) -> bool:
    """Whether the samples use the full range of codes; RGB does unless it says otherwise."""
    if picture.format.name.startswith("yuvj"):
        return True
    if picture.color_range in (FULL_RANGE, LIMITED_RANGE):
        return picture.color_range == FULL_RANGE
    return layout_of(picture.format.name).family == "rgb"


def planar(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture in its planar layout, the very same samples; the picture itself where it already is."""
    layout = layout_of(picture.format.name)
    if picture.format.name == layout.name:
        return picture
    tag = picture.color_range
    if picture.format.name.startswith("yuvj"):
        result = picture_of(planes_of(picture), layout)
        copy_properties(picture, result)
        result.color_range = FULL_RANGE
        return result
    if _SEMI_PLANAR.match(picture.format.name):
        result = picture_of(_separate(picture, layout), layout)
        copy_properties(picture, result)
        return result
    same = "JPEG" if is_full_range(picture) else "MPEG"
    result = picture.reformat(format=layout.name, src_color_range=same, dst_color_range=same)
    copy_properties(picture, result)
    result.color_range = tag
    return result


def _separate(picture: av.VideoFrame, layout: Layout) -> list[np.ndarray]:
    """Planes of a picture whose chroma samples are interleaved; those of ``p0..`` formats fill the upper bits.

    Done here because FFmpeg's scaler now and then (once in 200 pictures) loses samples of P010.
    """
    (height, width), (chroma_height, chroma_width), _ = layout.plane_sizes(picture.height, picture.width)
    sizes = (height, width), (chroma_height, 2 * chroma_width)
    luma, chroma = (_samples(p, layout.dtype, *size) for p, size in zip(picture.planes, sizes, strict=True))
    if picture.format.name.startswith("p"):
        luma, chroma = luma >> (16 - layout.depth), chroma >> (16 - layout.depth)
    swapped = picture.format.name in ("nv21", "nv42")
    return [luma, chroma[:, int(swapped) :: 2], chroma[:, int(not swapped) :: 2]]


def copy_properties(source: av.VideoFrame, target: av.VideoFrame) -> None:
    """Give ``target`` the time and the color tags of ``source``."""
    target.pts, target.duration = source.pts, source.duration
    if source.time_base is not None:
        target.time_base = source.time_base
    for name in ("colorspace", "color_range", "color_trc", "color_primaries"):
        setattr(target, name, getattr(source, name))


def planes_of(picture: av.VideoFrame) -> list[np.ndarray]:
    """The planes of a planar picture, ``(height, width)`` each, uint8 or uint16, as views of its memory."""
    layout = layout_of(picture.format.name)
    views = []
    for plane, (height, width) in zip(picture.planes, layout.plane_sizes(picture.height, picture.width), strict=False):
        views.append(_samples(plane, layout.dtype, height, width))
    return views


def _samples(plane: VideoPlane, dtype: np.dtype, height: int, width: int) -> np.ndarray:
    stride = plane.line_size // dtype.itemsize
    samples = np.frombuffer(memoryview(plane), dtype)
    return samples[: height * stride].reshape(height, stride)[:, :width]


def picture_of(planes: Sequence[np.ndarray], layout: Layout) -> av.VideoFrame:
    """A picture with these planes (copied)."""
    height, width = planes[0].shape
    picture = av.VideoFrame(width, height, layout.name)
    for view, plane in zip(planes_of(picture), planes, strict=True):
        view[:] = plane
    return picture


def same_pixels(first: av.VideoFrame, second: av.VideoFrame) -> bool:
    """Whether two planar pictures hold the same samples."""
    if first.format.name != second.format.name or (first.width, first.height) != (
        second.width,
        second.height,
    ):
        return False
    return all(np.array_equal(a, b) for a, b in zip(planes_of(first), planes_of(second), strict=True))
