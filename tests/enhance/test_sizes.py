"""``upscale`` to any size: sizes and shapes, pixels, independence of tiles and segments, errors."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.videos import Clip, decode

from ls3d.enhance import EnhanceOptions, upscale
from ls3d.errors import InputError
from ls3d.video import VideoInfo, probe

FAST = EnhanceOptions(threads=1)
LOSSLESS = EnhanceOptions(threads=1, codec="ffv1")


def upscaled(source: Path, target: Path, options: EnhanceOptions = FAST, **size: Any) -> VideoInfo:
    upscale(source, target, model="bicubic", options=options, **size)
    return probe(target)


def pictures(path: Path) -> np.ndarray:
    """``(T, H, W, 3)`` uint8."""
    return np.stack([frame.to_ndarray(format="rgb24") for frame in decode(path)])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({}, (256, 192)),
        ({"scale": 4}, (256, 192)),
        ({"scale": 1.5}, (96, 72)),
        ({"scale": Fraction(5, 3)}, (106, 80)),  # 106.67 is nearer to 106 than to 108
        ({"scale": 6}, (384, 288)),
        ({"scale": 0.5}, (32, 24)),
        ({"height": 100}, (134, 100)),  # 133.3
        ({"height": 101}, (134, 102)),  # even, for 4:2:0
        ({"width": 128}, (128, 96)),
        ({"fit": (200, 100)}, (134, 100)),  # 133.3
        ({"fit": (100, 200)}, (100, 76)),  # 75
        ({"fit": (101, 75)}, (100, 74)),
    ],
)
def test_sizes_of_a_4_by_3_video(tmp_path: Path, size: dict[str, Any], expected: tuple[int, int]) -> None:
    source = Clip(1, (48, 64)).write(tmp_path / "in.mp4")
    info = upscaled(source, tmp_path / "out.mp4", **size)
    assert (info.width, info.height) == expected
    assert info.color.layout.name == "yuv420p"


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix", "expected"),
    [
        ("ffv1", "bgr0", "mkv", (107, 80)),
        ("libx264", "yuv444p", "mp4", (107, 80)),
        ("libx264", "yuv422p", "mp4", (106, 80)),
        ("libx264", "yuv420p", "y4m", (106, 80)),
    ],
)
def test_only_chroma_of_half_the_size_needs_even_sides(
    tmp_path: Path, codec: str, pix_fmt: str, suffix: str, expected: tuple[int, int]
) -> None:
    source = Clip(1, (48, 64), codec, pix_fmt, options={}).write(tmp_path / "in.mkv")
    info = upscaled(source, tmp_path / f"out.{suffix}", scale=Fraction(5, 3))
    assert (info.width, info.height) == expected


@pytest.mark.parametrize(
    ("size", "expected", "aspect"),
    [
        ({"scale": 2}, (144, 116), Fraction(64, 45)),
        ({"height": 116}, (204, 116), 1),  # 72 * 64 / 45 = 102.4 wide, and twice that
        ({"width": 1024}, (1024, 580), 1),
        ({"fit": (512, 512)}, (512, 290), 1),
    ],
)
def test_pixels_that_are_not_square(
    tmp_path: Path, size: dict[str, Any], expected: tuple[int, int], aspect: Fraction
) -> None:
    source = Clip(1, (58, 72), aspect=Fraction(64, 45)).write(tmp_path / "in.mp4")
    info = upscaled(source, tmp_path / "out.mp4", **size)
    assert (info.width, info.height) == expected
    assert info.sample_aspect_ratio == aspect


@pytest.mark.parametrize(("suffix", "expected"), [("mp4", (120, 90)), ("y4m", (160, 120))])
def test_height_is_that_of_the_picture_as_it_is_shown(tmp_path: Path, suffix: str, expected: tuple[int, int]) -> None:
    """A player turns the first output, which is 90 wide and 120 high then; y4m can't be turned."""
    source = Clip(1, (48, 64), rotation=90).write(tmp_path / "in.mp4")
    info = upscaled(source, tmp_path / f"out.{suffix}", height=120)
    assert (info.width, info.height) == expected


@pytest.mark.parametrize("size", [{"scale": 1.5}, {"height": 200}, {"width": 20}])
def test_pixels_are_those_of_an_antialiased_bicubic_filter(tmp_path: Path, size: dict[str, Any]) -> None:
    """By torch's own filter, which has the same kernel but handles borders differently."""
    source = Clip(2, (48, 64), "ffv1", "bgr0", options={}).write(tmp_path / "in.mkv")
    upscale(source, tmp_path / "own.mkv", model="bicubic", options=LOSSLESS)
    upscale(source, tmp_path / "out.mkv", model="bicubic", options=LOSSLESS, **size)
    new = pictures(tmp_path / "out.mkv")
    own = torch.from_numpy(pictures(tmp_path / "own.mkv")).permute(0, 3, 1, 2).float()
    expected = F.interpolate(own, new.shape[1:3], mode="bicubic", antialias=True).clamp(0, 255)
    difference = (torch.from_numpy(new).permute(0, 3, 1, 2) - expected).abs()
    border = 3 if new.shape[1] < 48 else 8
    assert float(difference[..., border:-border, border:-border].max()) <= 1.5  # both are rounded, one of them twice


def test_tiles_and_segments_change_nothing(tmp_path: Path) -> None:
    source = Clip(7, (96, 160), "ffv1", "bgr0", options={}).write(tmp_path / "in.mkv")
    made = []
    for name, options in (
        ("whole", LOSSLESS),
        ("segments", replace(LOSSLESS, segment_frames=2)),
        ("tiles", replace(LOSSLESS, tile=80)),
    ):
        upscale(source, tmp_path / f"{name}.mkv", scale=1.5, model="bicubic", options=options)
        made.append(pictures(tmp_path / f"{name}.mkv").astype(int))
    assert np.array_equal(made[0], made[1])
    assert np.abs(made[0] - made[2]).max() <= 1


@pytest.mark.parametrize("size", [{"scale": 4.0}, {"height": 192}, {"width": 256}, {"fit": (256, 900)}])
def test_the_networks_own_size_is_not_resized(tmp_path: Path, size: dict[str, Any]) -> None:
    source = Clip(3, (48, 64)).write(tmp_path / "in.mp4")
    upscale(source, tmp_path / "own.mp4", model="bicubic", options=FAST)
    upscale(source, tmp_path / "out.mp4", model="bicubic", options=replace(FAST, max_pixels=48 * 64), **size)
    assert (tmp_path / "own.mp4").read_bytes() == (tmp_path / "out.mp4").read_bytes()


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        ({"scale": 0}, "scale 0: expected a number more than 0 and at most 8"),
        ({"scale": -1.5}, "scale -1.5: expected"),
        ({"scale": 9}, "scale 9: expected"),
        ({"scale": math.nan}, "scale nan: expected"),
        ({"width": 0}, "width 0: expected pixels from 16 to 65536"),
        ({"height": 10**9}, "height 1000000000: expected pixels"),
        ({"fit": (1920, 1)}, "fit 1: expected pixels"),
        ({"scale": 2, "height": 1080}, "height 1080: can't be combined with scale"),
        ({"width": 20, "fit": (1920, 1080)}, "fit 1920x1080: can't be combined with width"),
        ({"height": 30_000}, "max_pixels 67108864: the output would have 40000 x 30000 pixels"),
    ],
)
def test_sizes_that_are_refused(tmp_path: Path, size: dict[str, Any], sentence: str) -> None:
    source = Clip(1, (48, 64)).write(tmp_path / "in.mp4")
    with pytest.raises(InputError, match=sentence):
        upscaled(source, tmp_path / "out.mp4", **size)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
