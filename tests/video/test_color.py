"""Color conversion against H.273's definitions, against FFmpeg's own scaler, and against itself."""

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
from ls3d.video.pixels import is_full_range, planar

KR_KB = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv410p", "yuv440p", "yuv420p10le", "yuv422p12le", "gray"]


@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("depth", [8, 10])
def test_primaries_have_the_codes_of_the_standard(matrix: int, full: bool, depth: int) -> None:
    kr, kb = KR_KB[matrix]
    rgb = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.25, 0.75]])
    luma = rgb @ [kr, 1 - kr - kb, kb]
    cb, cr = (rgb[:, 2] - luma) / (2 * (1 - kb)), (rgb[:, 0] - luma) / (2 * (1 - kr))
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
def test_agrees_with_ffmpeg(matrix: str) -> None:
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
def test_a_round_trip_gives_the_same_codes(
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
def test_chroma_lies_where_the_siting_says(cosited: bool) -> None:
    # a ramp of slope 1 per luma sample: chroma sample k lies at 2k (co-sited) or 2k + 1/2
    chroma = 2 * torch.arange(10.0).expand(1, 1, 10) + (0 if cosited else 0.5)
    luma_grid = _double(chroma, 2, cosited)[0, 0]
    assert torch.allclose(luma_grid[1:-1], torch.arange(20.0)[1:-1])


def test_dithering_keeps_the_mean_of_what_lies_between_two_codes() -> None:
    color = Color(layout_of("gray"), 1, full_range=True)
    level = 100.3 / 255
    plain = planes(from_rgb(torch.full((3, 64, 64), level), color))[0]
    dithered = planes(from_rgb(torch.full((3, 64, 64), level), color, dither=True))[0]
    assert set(np.unique(plain)) == {100}
    assert set(np.unique(dithered)) == {100, 101}
    assert abs(dithered.mean() - 100.3) < 0.01


def test_values_out_of_the_nominal_range_survive() -> None:
    layout = layout_of("gray")
    picture = picture_of([np.array([[0, 5, 16, 235, 250, 255]], np.uint8)], layout)
    color = Color(layout, 1, full_range=False)
    rgb = to_rgb(picture, color)
    assert float(rgb.min()) < 0
    assert float(rgb.max()) > 1
    assert planes(from_rgb(rgb, color))[0].tolist() == [[0, 5, 16, 235, 250, 255]]


@pytest.mark.parametrize("pix_fmt", ["nv12", "nv21", "nv16", "p010le", "p210le"])
def test_interleaved_chroma_is_separated(pix_fmt: str) -> None:
    deep = pix_fmt.startswith("p")
    rng = np.random.default_rng(0)
    picture = av.VideoFrame(48, 32, pix_fmt)
    for plane in picture.planes:
        samples = np.frombuffer(memoryview(plane), np.uint16 if deep else np.uint8)
        samples[:] = rng.integers(0, 1024, samples.shape) << 6 if deep else rng.integers(0, 256, samples.shape)
    raw = [np.frombuffer(memoryview(p), np.uint16 if deep else np.uint8) for p in picture.planes]
    rows = [
        samples.reshape(-1, plane.line_size // (1 + deep)) for samples, plane in zip(raw, picture.planes, strict=True)
    ]
    luma, chroma = rows[0][:32, :48] >> (6 if deep else 0), rows[1][:, :48] >> (6 if deep else 0)
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
    rows = [np.frombuffer(memoryview(p), np.uint8).reshape(-1, p.line_size) for p in source.planes]
    if pix_fmt == "yuyv422":
        expected = [rows[0][:, 0:96:2], rows[0][:, 1:96:4], rows[0][:, 3:96:4]]
    elif pix_fmt == "rgb24":
        expected = [rows[0][:, c:144:3] for c in (1, 2, 0)]
    elif pix_fmt == "bgra":
        expected = [rows[0][:, c:192:4] for c in (1, 0, 2)]
    elif pix_fmt == "gray10le":
        expected = [rows[0].view(np.uint16)[:, :48]]
    else:
        expected = [rows[0][:, :48], rows[1][:, :24], rows[2][:, :24]]
    for plane, truth in zip(planes(repacked), expected, strict=True):
        assert np.array_equal(plane, truth[: plane.shape[0]])
