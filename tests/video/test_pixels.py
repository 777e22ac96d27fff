"""Planes of pictures: FFmpeg's own samples, whatever the pixel format."""

from __future__ import annotations

import importlib
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from helpers.videos import moving_picture, planes

from ls3d.errors import InputError
from ls3d.video import layout_of, picture_of, planes_of, same_pixels
from ls3d.video.pixels import copy_properties, is_full_range, planar

#: All pixel formats of FFmpeg. The stubs of PyAV lack this name.
FORMATS: set[str] = importlib.import_module("av.video.format").names


def rows_of(picture: av.VideoFrame, index: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The bytes of a plane as rows of samples, padding included."""
    plane = picture.planes[index]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size).view(dtype)


def is_supported(name: str) -> bool:
    try:
        layout_of(name)
    except InputError:
        return False
    return True


SUPPORTED = sorted(filter(is_supported, FORMATS))


def test_only_formats_without_integer_samples_are_unsupported() -> None:
    for name in FORMATS.difference(SUPPORTED):
        pixel_format = av.VideoFormat(name)
        is_float = name.endswith(("f16le", "f16be", "f32le", "f32be"))
        is_deep = any(component.bits > 16 for component in pixel_format.components)
        assert not pixel_format.components or pixel_format.is_bayer or is_float or is_deep, name


@pytest.mark.parametrize("name", SUPPORTED)
def test_the_layout_of_every_format_can_hold_its_samples(name: str) -> None:
    layout = layout_of(name)
    source, target = av.VideoFormat(name), av.VideoFormat(layout.name)
    assert target.is_planar or layout.family == "gray"
    assert not target.is_big_endian
    assert all(component.bits == layout.depth for component in target.components)
    opaque = [component for component in source.components if not component.is_alpha]
    assert layout.depth >= max(component.bits for component in opaque)
    picture = av.VideoFrame(33, 21, layout.name)
    sizes = [(component.height, component.width) for component in picture.format.components]
    assert layout.plane_sizes(21, 33) == sizes
    if not source.has_palette and not source.is_rgb and len(opaque) == 3:
        assert (source.chroma_width(64), source.chroma_height(64)) == (
            64 >> layout.subsampling[0],
            64 >> layout.subsampling[1],
        )


@pytest.mark.parametrize("name", ["cuda", "vaapi", "bayer_rggb8", "grayf32le", "gbrpf32le", "yuv999p"])
def test_formats_without_integer_samples_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        layout_of(name)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gray", "gray12le", "gbrp", "yuv410p"])
def test_pictures_hold_the_planes_that_they_are_made_of(pix_fmt: str) -> None:
    layout = layout_of(pix_fmt)
    rng = np.random.default_rng(0)
    samples = [rng.integers(0, 2**layout.depth, size).astype(layout.dtype) for size in layout.plane_sizes(21, 33)]
    picture = picture_of(samples, layout)
    assert (picture.height, picture.width, picture.format.name) == (21, 33, pix_fmt)
    assert all(np.array_equal(a, b) for a, b in zip(planes_of(picture), samples, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(planes(picture), samples, strict=True))


def test_planes_are_views_of_the_picture() -> None:
    picture = picture_of([np.zeros((4, 6), np.uint8)], layout_of("gray"))
    planes_of(picture)[0][2, 3] = 99
    assert picture.to_ndarray()[2, 3] == 99


def test_pictures_are_the_same_only_with_equal_format_size_and_samples() -> None:
    samples = np.arange(24, dtype=np.uint8).reshape(4, 6)
    picture = picture_of([samples], layout_of("gray"))
    assert same_pixels(picture, picture_of([samples], layout_of("gray")))
    assert not same_pixels(picture, picture_of([samples.reshape(6, 4)], layout_of("gray")))
    assert not same_pixels(picture, picture_of([samples.astype(np.uint16)], layout_of("gray10le")))
    samples[3, 5] += 1
    assert not same_pixels(picture, picture_of([samples], layout_of("gray")))


def test_repacked_pictures_keep_time_and_tags() -> None:
    for pix_fmt in ("yuyv422", "nv12", "yuvj420p"):
        picture = av.VideoFrame(16, 8, pix_fmt)
        picture.pts = 77
        picture.time_base = Fraction(1, 90)
        picture.colorspace = 9
        picture.color_trc = 16
        picture.color_primaries = 9
        result = planar(picture)
        assert (result.pts, result.time_base) == (77, Fraction(1, 90))
        assert (result.colorspace, result.color_trc, result.color_primaries) == (9, 16, 9)


def test_a_missing_time_base_is_not_copied() -> None:
    source, target = av.VideoFrame(16, 8, "gray"), av.VideoFrame(16, 8, "gray")
    target.time_base = Fraction(1, 90)
    copy_properties(source, target)
    assert target.time_base == Fraction(1, 90)


@pytest.mark.parametrize(
    ("pix_fmt", "color_range", "full"),
    [
        ("yuv420p", 0, False),
        ("yuv420p", 1, False),
        ("yuv420p", 2, True),
        ("yuvj420p", 0, True),
        ("rgb24", 0, True),
        ("rgb24", 1, False),
        ("gray", 0, False),
    ],
)
def test_range_of_a_picture(pix_fmt: str, color_range: int, full: bool) -> None:
    picture = av.VideoFrame(16, 8, pix_fmt)
    picture.color_range = color_range
    assert is_full_range(picture) == full


@pytest.mark.parametrize("pix_fmt", ["nv12", "nv21", "nv16", "p010le", "p210le"])
def test_interleaved_chroma_is_separated(pix_fmt: str) -> None:
    deep = pix_fmt.startswith("p")
    dtype = np.uint16 if deep else np.uint8
    rng = np.random.default_rng(0)
    picture = av.VideoFrame(48, 32, pix_fmt)
    for memory in picture.planes:
        samples = np.frombuffer(memoryview(memory), dtype)
        samples[:] = rng.integers(0, 1024, samples.shape) << 6 if deep else rng.integers(0, 256, samples.shape)
    shift = 6 if deep else 0
    luma = rows_of(picture, 0, dtype)[:32, :48] >> shift
    chroma = rows_of(picture, 1, dtype)[:, :48] >> shift
    expected = [luma, chroma[:, 0::2], chroma[:, 1::2]]
    if pix_fmt == "nv21":
        expected[1:] = expected[:0:-1]
    for plane, truth in zip(planes(planar(picture)), expected, strict=True):
        assert np.array_equal(plane, truth[: plane.shape[0]])


@pytest.mark.parametrize("pix_fmt", ["yuyv422", "yuvj420p", "rgb24", "bgra", "yuva420p", "gray10le"])
def test_repacking_changes_no_sample(pix_fmt: str) -> None:
    source = av.VideoFrame.from_ndarray(moving_picture(1, 32, 48), format="rgb24").reformat(format=pix_fmt)
    repacked = planar(source)
    assert repacked.format.name == layout_of(pix_fmt).name
    assert is_full_range(repacked) == is_full_range(source)
    first = rows_of(source, 0, np.uint8)
    expected: list[npt.NDArray[Any]]
    if pix_fmt == "yuyv422":
        expected = [first[:, 0:96:2], first[:, 1:96:4], first[:, 3:96:4]]
    elif pix_fmt == "rgb24":
        expected = [first[:, c:144:3] for c in (1, 2, 0)]
    elif pix_fmt == "bgra":
        expected = [first[:, c:192:4] for c in (1, 0, 2)]
    elif pix_fmt == "gray10le":
        expected = [first.view(np.uint16)[:, :48]]
    else:
        expected = [first[:, :48], rows_of(source, 1, np.uint8)[:, :24], rows_of(source, 2, np.uint8)[:, :24]]
    for plane, truth in zip(planes(repacked), expected, strict=True):
        assert np.array_equal(plane, truth[: plane.shape[0]])


def test_a_planar_picture_is_returned_as_it_is() -> None:
    picture = av.VideoFrame(16, 8, "yuv422p10le")
    assert planar(picture) is picture


@pytest.mark.parametrize("name", sorted(name for name in SUPPORTED if name.startswith(("yuva", "gbrap"))))
def test_leaving_out_a_plane_of_alpha_changes_no_sample(name: str) -> None:
    rng = np.random.default_rng(0)
    picture = av.VideoFrame(34, 22, name)
    layout = layout_of(name)
    dtype = layout.dtype.newbyteorder(">") if name.endswith("be") else layout.dtype
    for plane in picture.planes:
        plane.update(rng.integers(0, 2**layout.depth, plane.buffer_size // dtype.itemsize).astype(dtype).tobytes())
    for index, samples in enumerate(planes_of(planar(picture))):
        height, width = samples.shape
        assert np.array_equal(rows_of(picture, index, dtype)[:height, :width], samples)
