"""Color conversion against the definitions of H.273, against FFmpeg's own scaler, and there and back."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch
from helpers.videos import moving_picture, planes
from hypothesis import given
from hypothesis import strategies as st

from ls3d.video import Color, from_rgb, layout_of, picture_of, to_rgb
from ls3d.video.color import _double, _halve

KR_KB = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv410p", "yuv440p", "yuv420p10le", "yuv422p12le", "gray"]


@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("depth", [8, 10])
def test_primaries_have_the_codes_of_the_standard(matrix: int, full: bool, depth: int) -> None:
    kr, kb = KR_KB[matrix]
    rgb = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.25, 0.75]])
    luma = rgb @ [kr, 1 - kr - kb, kb]
    cb = (rgb[:, 2] - luma) / (2 * (1 - kb))
    cr = (rgb[:, 0] - luma) / (2 * (1 - kr))
    unit = 2 ** (depth - 8)
    if full:
        expected = [luma * (2**depth - 1)] + [c * (2**depth - 1) + 2 ** (depth - 1) for c in (cb, cr)]
    else:
        expected = [(219 * luma + 16) * unit] + [(224 * c + 128) * unit for c in (cb, cr)]
    layout = layout_of("yuv444p" if depth == 8 else "yuv444p10le")
    image = torch.from_numpy(rgb.T.astype(np.float32)[:, None, :])
    picture = from_rgb(image, Color(layout, matrix, full))
    for plane, codes in zip(planes(picture), expected, strict=True):
        assert np.abs(plane[0] - np.round(codes).clip(0, 2**depth - 1)).max() <= 1e-6


@pytest.mark.parametrize("matrix", ["ITU601", "ITU709", "BT2020"])
def test_rgb_equals_that_of_ffmpeg(matrix: str) -> None:
    picture = av.VideoFrame.from_ndarray(moving_picture(3, 48, 64), format="rgb24")
    number = {"ITU601": 6, "ITU709": 1, "BT2020": 9}[matrix]
    yuv = picture.reformat(format="yuv444p", dst_colorspace=getattr(av.video.reformatter.Colorspace, matrix))
    ours = to_rgb(yuv, Color(layout_of("yuv444p"), number, full_range=False))
    theirs = picture.to_ndarray(format="rgb24").transpose(2, 0, 1) / 255
    assert np.abs(ours.numpy() - theirs).max() < 0.012  # eight-bit rounding of both


@given(
    pix_fmt=st.sampled_from(FORMATS),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    matrix=st.sampled_from([1, 6, 7, 8, 9]),
    full=st.booleans(),
    cosited=st.tuples(st.booleans(), st.booleans()),
    seed=st.integers(0, 2**31),
)
def test_a_round_trip_returns_the_same_codes(
    pix_fmt: str,
    height: int,
    width: int,
    matrix: int,
    full: bool,
    cosited: tuple[bool, bool],
    seed: int,
) -> None:
    layout = layout_of(pix_fmt)
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, 2**layout.depth, size) for size in layout.plane_sizes(height, width)]
    picture = picture_of([plane.astype(layout.dtype) for plane in codes], layout)
    color = Color(layout, matrix, full, cosited)
    back = from_rgb(to_rgb(picture, color), color)
    for before, after in zip(codes, planes(back), strict=True):
        assert np.abs(before - after).max() <= 1


@given(st.integers(1, 40), st.booleans(), st.booleans())
def test_halving_undoes_doubling(size: int, cosited: bool, odd: bool) -> None:
    chroma = torch.rand(2, 3, size)
    doubled = _double(chroma, 2, cosited)[..., : 2 * size - odd]
    assert torch.allclose(_halve(doubled, 2, cosited), chroma, atol=1e-6)


@pytest.mark.parametrize("cosited", [True, False])
def test_chroma_is_interpolated_at_its_siting(cosited: bool) -> None:
    # A ramp of slope 1 per luma sample: chroma sample k is at 2k (co-sited) or 2k + 1/2.
    chroma = 2 * torch.arange(10.0).expand(1, 1, 10) + (0 if cosited else 0.5)
    luma_grid = _double(chroma, 2, cosited)[0, 0]
    assert torch.allclose(luma_grid[1:-1], torch.arange(20.0)[1:-1])


def test_dithering_keeps_the_mean_of_values_between_two_codes() -> None:
    color = Color(layout_of("gray"), 1, full_range=True)
    level = 100.3 / 255
    plain = planes(from_rgb(torch.full((3, 64, 64), level), color))[0]
    dithered = planes(from_rgb(torch.full((3, 64, 64), level), color, dither=True))[0]
    assert set(np.unique(plain)) == {100}
    assert set(np.unique(dithered)) == {100, 101}
    assert abs(dithered.mean() - 100.3) < 0.01


def test_ycgco_has_the_codes_of_the_standard() -> None:
    """Y = R/4 + G/2 + B/4, Cg = -R/4 + G/2 - B/4, Co = R/2 - B/2 (H.273, YCgCo)."""
    rgb = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.25, 0.75]])
    expected = rgb @ np.array([[1 / 4, 1 / 2, 1 / 4], [-1 / 4, 1 / 2, -1 / 4], [1 / 2, 0, -1 / 2]]).T
    image = torch.from_numpy(rgb.T.astype(np.float32)[:, None, :])
    picture = from_rgb(image, Color(layout_of("yuv444p"), 8, full_range=True))
    for plane, values, offset in zip(planes(picture), expected.T, (0, 128, 128), strict=True):
        assert np.array_equal(plane[0], np.round(255 * values + offset).clip(0, 255))


@pytest.mark.parametrize("pix_fmt", ["gbrp", "gbrp10le", "gbrp16le"])
@pytest.mark.parametrize("full", [True, False])
def test_rgb_pictures_keep_their_codes(pix_fmt: str, full: bool) -> None:
    layout = layout_of(pix_fmt)
    rng = np.random.default_rng(0)
    green, blue, red = (rng.integers(0, 2**layout.depth, (6, 8)) for _ in range(3))
    color = Color(layout, 0, full)
    rgb = to_rgb(picture_of([plane.astype(layout.dtype) for plane in (green, blue, red)], layout), color)
    scale = 2 ** (layout.depth - 8)
    expected = np.stack([red, green, blue]).astype(float)
    expected = expected / (2**layout.depth - 1) if full else (expected - 16 * scale) / (219 * scale)
    assert np.abs(rgb.numpy() - expected).max() < 1e-6
    for plane, truth in zip(planes(from_rgb(rgb, color)), (green, blue, red), strict=True):
        assert np.array_equal(plane, truth)


def test_gray_pictures_are_neutral() -> None:
    layout = layout_of("gray")
    rgb = to_rgb(picture_of([np.array([[16, 125, 235]], np.uint8)], layout), Color(layout, 1, full_range=False))
    assert np.allclose(rgb.numpy(), [[[0, 109 / 219, 1]]] * 3)


def test_rgb_becomes_bt601_where_the_matrix_is_that_of_rgb() -> None:
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    luma = planes(from_rgb(red, Color(layout_of("gray"), 0, full_range=True)))[0]
    assert luma.tolist() == [[round(255 * 0.299)]]


@pytest.mark.parametrize(
    ("pix_fmt", "size", "tags", "expected"),
    [
        ("yuv420p", (480, 640), {}, (6, False, (True, False))),
        ("yuv420p", (1080, 1920), {}, (1, False, (True, False))),
        ("yuv420p", (480, 1280), {}, (1, False, (True, False))),
        ("yuv420p", (480, 640), {"colorspace": 9}, (9, False, (True, True))),
        ("yuv420p", (1080, 1920), {"colorspace": 5}, (5, False, (True, False))),
        ("yuvj420p", (480, 640), {"colorspace": 5}, (5, True, (False, False))),
        ("yuv420p", (480, 640), {"color_range": 2}, (6, True, (False, False))),
        ("yuv420p", (480, 640), {"colorspace": 1, "color_range": 2}, (1, True, (True, False))),
        ("gbrp", (480, 640), {}, (0, True, (False, False))),
        ("gbrp", (480, 640), {"color_range": 1}, (0, False, (True, False))),
    ],
)
def test_color_of_a_picture(
    pix_fmt: str,
    size: tuple[int, int],
    tags: dict[str, int],
    expected: tuple[int, bool, tuple[bool, bool]],
) -> None:
    picture = av.VideoFrame(size[1], size[0], pix_fmt)
    for name, value in tags.items():
        setattr(picture, name, value)
    color = Color.of(picture)
    assert (color.matrix, color.full_range, color.cosited) == expected


def test_values_outside_the_nominal_range_survive() -> None:
    layout = layout_of("gray")
    picture = picture_of([np.array([[0, 5, 16, 235, 250, 255]], np.uint8)], layout)
    color = Color(layout, 1, full_range=False)
    rgb = to_rgb(picture, color)
    assert float(rgb.min()) < 0
    assert float(rgb.max()) > 1
    assert planes(from_rgb(rgb, color))[0].tolist() == [[0, 5, 16, 235, 250, 255]]
