"""Frames at given times: the nearest ones, whatever the frame rate, the seek and the rotation."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers import videos
from helpers.labeled import damage

from ls3d.errors import InputError
from ls3d.video import read_duration, read_frames_at

VARIABLE = [0, 40, 50, 200, 210, 260, 400, 410, 420, 600, 640, 900]  # milliseconds


def counting(index: int, height: int, width: int) -> videos.Image:
    """A picture whose gray value is 4 times the number of the frame."""
    return np.full((height, width, 3), 4 * index, np.uint8)


def numbers(frames: videos.Image) -> list[int]:
    return [round(float(frame.mean()) / 4) for frame in frames]


def write(path: Path, frames: int, **options: object) -> Path:
    settings = {"crf": "0", "preset": "ultrafast", "g": "8"}
    return videos.Clip(frames, (16, 16), picture=counting, options=settings, **options).write(path)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [Fraction(10), Fraction(15), Fraction(20), Fraction(30000, 1001)])
@pytest.mark.parametrize("first", [0.0, 1.3])
def test_frames_are_right_to_half_a_frame(tmp_path: Path, rate: Fraction, first: float) -> None:
    path = write(tmp_path / "clip.mp4", 60, rate=rate)
    duration = 60 / float(rate)
    assert read_duration(path) == pytest.approx(duration, abs=0.002)
    times = [first + k * 0.083 for k in range(int((duration - first) / 0.083))]
    for time, number in zip(times, numbers(read_frames_at(path, times)), strict=True):
        assert abs(number / float(rate) - time) <= 0.5 / float(rate) + 1e-3 or number == 59


def test_frames_of_a_variable_rate_are_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv", len(VARIABLE), pts=VARIABLE, time_base=Fraction(1, 1000))
    times = [0.0, 0.046, 0.12, 0.205, 0.3, 0.5, 0.95]
    expected = [int(np.argmin(np.abs(np.array(VARIABLE) / 1000 - time))) for time in times]
    assert numbers(read_frames_at(path, times)) == expected


def test_times_outside_the_file_are_its_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", 10)
    assert numbers(read_frames_at(path, [-1.0, 0.0, 50.0])) == [0, 0, 9]
    assert numbers(read_frames_at(path, [50.0])) == [9]


@pytest.mark.parametrize(("rotation", "corner"), [(90, (1, 0)), (180, (1, 1)), (-90, (0, 1))])
def test_frames_are_rotated_for_display(tmp_path: Path, rotation: int, corner: tuple[int, int]) -> None:
    """``rotation`` is counterclockwise: the white corner at the top left moves to the bottom left at 90 degrees."""

    def picture(_index: int, height: int, width: int) -> videos.Image:
        image = np.zeros((height, width, 3), np.uint8)
        image[: height // 2, : width // 2] = 255
        return image

    path = videos.Clip(2, (16, 32), rotation=rotation, picture=picture).write(tmp_path / "clip.mp4")
    frame = read_frames_at(path, [0.0])[0]
    assert frame.shape == ((32, 16, 3) if rotation % 180 else (16, 32, 3))
    height, width = frame.shape[:2]
    quarters = frame.reshape(2, height // 2, 2, width // 2, 3).mean(axis=(1, 3, 4))
    assert np.unravel_index(quarters.argmax(), (2, 2)) == corner


def test_large_frames_are_scaled_down(tmp_path: Path) -> None:
    path = videos.Clip(2, (48, 64)).write(tmp_path / "clip.mp4")
    assert read_frames_at(path, [0.0], short_side=24).shape == (1, 24, 32, 3)
    assert read_frames_at(path, [0.0], short_side=480).shape == (1, 48, 64, 3)


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video")
    for read in (read_duration, lambda path: read_frames_at(path, [0.0])):
        with pytest.raises(InputError, match=r"clip\.mp4 is not a video"):
            read(path)


def test_damaged_packets_are_an_error(tmp_path: Path) -> None:
    path = videos.Clip(30).write(tmp_path / "clip.mp4")
    damage(path)
    with pytest.raises(InputError, match=r"clip\.mp4 can't be decoded"):
        read_frames_at(path, [k / 25 for k in range(30)])
