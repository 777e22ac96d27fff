"""Which frames are duplicates, what becomes of their time, and reading from any position."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.animation import animation
from helpers.videos import Clip, moving_picture

from ls3d.video import VideoFile
from ls3d.video.duplicates import WithoutDuplicates


def kept(path: Path, **arguments: Fraction) -> list[tuple[int, int]]:
    """Number of each frame that is kept, and of its duplicates, at 24 frames per second."""
    frames = list(WithoutDuplicates(VideoFile(path), **arguments).frames())
    for frame in frames:
        assert frame.duration == Fraction(1 + frame.duplicates, 24)
    return [(round(frame.time * 24), frame.duplicates) for frame in frames]


@pytest.mark.parametrize(
    ("exposures", "expected"),
    [
        ([2] * 6, [(0, 1), (2, 1), (4, 1), (6, 1), (8, 1), (10, 1)]),
        ([3, 2, 1, 4, 2], [(0, 2), (3, 1), (5, 0), (6, 3), (10, 1)]),
        ([1] * 6, [(n, 0) for n in range(6)]),
        ([2, 2, 9, 2, 2], [(0, 1), (2, 1), *((n, 0) for n in range(4, 13)), (13, 1), (15, 1)]),
        ([30], [(n, 0) for n in range(30)]),
        ([3], [(n, 0) for n in range(3)]),
    ],
)
def test_repeated_drawings_are_dropped_and_stills_are_kept(
    tmp_path: Path, exposures: Sequence[int], expected: list[tuple[int, int]]
) -> None:
    assert kept(animation(exposures).write(tmp_path / "in.mp4")) == expected


def test_small_changes_are_not_duplicates(tmp_path: Path) -> None:
    path = animation([2] * 8, [n / 3 for n in range(8)]).write(tmp_path / "in.mp4")  # two pixels
    assert kept(path) == [(2 * n, 1) for n in range(8)]


def test_slow_changes_of_the_whole_picture_are_kept(tmp_path: Path) -> None:
    def fade(index: int, height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.asarray(moving_picture(0, height, width) * (1 - index / 60), np.uint8)

    for picture in (fade, lambda index, *size: moving_picture(index, *size)):
        path = Clip(24, rate=Fraction(24), picture=picture).write(tmp_path / "in.mp4")
        assert kept(path) == [(n, 0) for n in range(24)]


def test_more_frames_per_drawing_at_higher_rates(tmp_path: Path) -> None:
    clip = animation([5] * 5)
    clip.rate = Fraction(60)
    frames = WithoutDuplicates(VideoFile(clip.write(tmp_path / "in.mp4"))).frames()
    assert [(frame.time, frame.duplicates) for frame in frames] == [(Fraction(n, 12), 4) for n in range(5)]


def test_a_part_begins_and_ends_within_drawings(tmp_path: Path) -> None:
    path = animation([3] * 8).write(tmp_path / "in.mp4")
    span = {"start": Fraction(4, 24), "end": Fraction(13, 24)}
    assert kept(path, **span) == [(4, 1), (6, 2), (9, 2), (12, 0)]


def test_frames_do_not_depend_on_where_reading_begins(tmp_path: Path) -> None:
    path = animation([3, 2, 2, 1, 20, 2, 3, 2, 2, 2, 3, 14, 2, 2]).write(tmp_path / "in.mp4")
    source = WithoutDuplicates(VideoFile(path))
    whole = [(frame.mark(), frame.duplicates) for frame in source.frames()]
    marks = [mark for mark, _ in whole]
    assert len(whole) < 50
    for begin in range(0, len(whole), 3):
        after = [(frame.mark(), frame.duplicates) for frame in source.frames(after=marks[begin : begin + 2])]
        assert after == whole[begin:]
        assert [frame.mark() for frame in source.frames(start=marks[begin].time)] == marks[begin:]
