"""Cuts are found where one shot follows another, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import Clip, Image, moving_picture

from ls3d.video import Frame, VideoFile, find_cuts
from ls3d.video.cuts import CUT_LOOKAHEAD


def frames_of(count: int, picture: Callable[[int], Image], pix_fmt: str = "yuv420p") -> Iterator[Frame]:
    """Frames without a file."""
    for index in range(count):
        image = av.VideoFrame.from_ndarray(picture(index), format="rgb24").reformat(format=pix_fmt)
        yield Frame(Fraction(index, 25), Fraction(1, 25), image)


def cuts(frames: Iterator[Frame], threshold: float = 4.0) -> list[int]:
    """Numbers of the frames that a cut follows."""
    return [number for number, scanned in enumerate(find_cuts(frames, threshold)) if scanned.cut_after]


def test_cuts_are_found_in_a_file(tmp_path: Path) -> None:
    source = VideoFile(Clip(60, shot_length=10).write(tmp_path / "in.mp4"))
    assert cuts(source.frames()) == [9, 19, 29, 39, 49]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le", "gray", "gbrp"])
def test_cuts_are_found_in_every_kind_of_picture(pix_fmt: str) -> None:
    def two_shots(index: int) -> Image:
        return moving_picture(index, 48, 64, index // 7)

    assert cuts(frames_of(14, two_shots, pix_fmt)) == [6]


def test_a_cut_between_shots_of_equal_luma_is_found_by_chroma() -> None:
    red = np.full((48, 64, 3), (200, 60, 60), np.uint8)
    blue = np.full((48, 64, 3), (60, 96, 220), np.uint8)  # BT.601 luma differs by less than 1
    assert cuts(frames_of(10, lambda index: red if index < 5 else blue)) == [4]


def test_fast_motion_is_not_a_cut() -> None:
    assert cuts(frames_of(30, lambda index: moving_picture(9 * index, 48, 64))) == []


def test_a_flash_is_not_a_cut() -> None:
    def flash(index: int) -> Image:
        still = moving_picture(0, 48, 64)
        return np.full_like(still, 255) if index == 5 else still

    assert cuts(frames_of(12, flash)) == []


def test_a_fade_is_not_a_cut() -> None:
    assert cuts(frames_of(20, lambda index: np.full((48, 64, 3), 12 * index, np.uint8))) == []


@pytest.mark.parametrize("hold", [2, 3])
def test_animation_on_twos_and_threes_has_no_cuts(hold: int) -> None:
    assert cuts(frames_of(24, lambda index: moving_picture(4 * (index // hold), 48, 64))) == []


def test_a_cut_between_two_still_pictures_is_found() -> None:
    assert cuts(frames_of(12, lambda index: moving_picture(0, 48, 64, index // 6))) == [5]


@pytest.mark.parametrize("frames", [0, 1, 2, 5])
def test_short_videos(frames: int) -> None:
    picture = moving_picture(0, 48, 64)
    scanned = list(find_cuts(frames_of(frames, lambda index: picture)))
    assert [each.frame.time for each in scanned] == [Fraction(n, 25) for n in range(frames)]
    assert not any(each.cut_after for each in scanned)


def test_the_threshold_is_a_percentage_of_the_range() -> None:
    levels = [100] * 5 + [126] * 5  # a step of 26 / 255 = 10.2 %
    pictures = [av.VideoFrame.from_ndarray(np.full((48, 64), level, np.uint8), format="gray") for level in levels]

    def frames() -> Iterator[Frame]:
        return (Frame(Fraction(n, 25), Fraction(1, 25), picture) for n, picture in enumerate(pictures))

    assert cuts(frames(), threshold=10.1) == [4]
    assert cuts(frames(), threshold=10.3) == []
    assert cuts(frames(), threshold=0) == []


def test_frames_are_yielded_as_soon_as_the_lookahead_is_read() -> None:
    read = 0

    def counted() -> Iterator[Frame]:
        nonlocal read
        for frame in frames_of(20, lambda index: moving_picture(index, 48, 64)):
            read += 1
            yield frame

    next(find_cuts(counted()))
    assert read == CUT_LOOKAHEAD + 2


@pytest.mark.parametrize(("low", "high"), [(20, 230), (16, 48), (8, 30)])
def test_cuts_between_dark_scenes_are_found(low: int, high: int) -> None:
    def panning(index: int) -> Image:
        shot, step = divmod(index, 15)
        cells = np.random.default_rng(shot).integers(low, high, (12, 26, 3)).astype(np.uint8)
        return np.ascontiguousarray(np.kron(cells, np.ones((8, 8, 1), np.uint8))[:, step : step + 128])

    assert cuts(frames_of(30, panning)) == [14]
