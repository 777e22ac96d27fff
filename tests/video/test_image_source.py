"""Folders of images as videos: order, rate, resuming, damaged files."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import moving_picture

from ls3d.errors import InputError
from ls3d.video import ImageSequence, OnError

RATE = Fraction(24)


def write_images(folder: Path, count: int) -> Path:
    """PNG files ``frame0.png``, ``frame1.png``, ..."""
    for n in range(count):
        picture = av.VideoFrame.from_ndarray(moving_picture(n, 24, 32), format="rgb24")
        picture.save(folder / f"frame{n}.png")
    return folder


def test_images_come_in_the_natural_order_of_their_names(tmp_path: Path) -> None:
    write_images(tmp_path, 12)
    (tmp_path / "notes.txt").write_text("no image")
    source = ImageSequence(tmp_path, RATE)
    frames = list(source.frames())
    assert [frame.time for frame in frames] == [n / RATE for n in range(12)]
    assert {frame.duration for frame in frames} == {1 / RATE}
    for n, frame in enumerate(frames):
        assert np.array_equal(frame.picture.to_ndarray(format="rgb24"), moving_picture(n, 24, 32))


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    write_images(tmp_path, 3)
    for n in range(3):
        (tmp_path / f"._frame{n}.png").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X        " + bytes(100))
    assert len(list(ImageSequence(tmp_path, RATE, on_error="stop").frames())) == 3


def test_properties_are_those_of_a_video(tmp_path: Path) -> None:
    info = ImageSequence(write_images(tmp_path, 12), RATE).info
    assert (info.name, info.container, info.codec) == (str(tmp_path), "images", "png")
    assert (info.height, info.width, info.frames) == (24, 32, 12)
    assert (info.rate, info.time_base, info.start, info.duration) == (RATE, 1 / RATE, Fraction(0), Fraction(1, 2))
    assert info.streams == ()
    assert info.seekable


@pytest.mark.parametrize("begin", [0, 5, 10])
def test_reading_resumes_at_marked_frames(tmp_path: Path, begin: int) -> None:
    source = ImageSequence(write_images(tmp_path, 12), RATE)
    whole = [frame.mark() for frame in source.frames()]
    resumed = [frame.mark() for frame in source.frames(after=whole[begin : begin + 2])]
    assert resumed == whole[begin:]


def test_reading_from_a_time(tmp_path: Path) -> None:
    source = ImageSequence(write_images(tmp_path, 12), RATE)
    assert [frame.time for frame in source.frames(start=Fraction(10, 24))] == [Fraction(10, 24), Fraction(11, 24)]
    assert next(source.frames(start=Fraction(1, 10))).time == Fraction(3, 24)
    assert list(source.frames(start=Fraction(9))) == []


def test_an_image_that_has_changed_is_refused(tmp_path: Path) -> None:
    source = ImageSequence(write_images(tmp_path, 6), RATE)
    marks = [frame.mark() for frame in source.frames()][3:5]
    av.VideoFrame.from_ndarray(moving_picture(99, 24, 32), format="rgb24").save(tmp_path / "frame4.png")
    with pytest.raises(InputError, match="has changed"):
        list(source.frames(after=marks))


@pytest.mark.parametrize(
    ("on_error", "shown", "undecodable", "at_end"),
    [
        ("skip", [0, 1, 3], [0, 0, 1], 2),
        ("repeat", [0, 1, 2, 3, 4, 5], [0, 0, 1, 0, 1, 1], 0),
    ],
)
def test_damaged_images_are_counted(
    tmp_path: Path,
    on_error: OnError,
    shown: list[int],
    undecodable: list[int],
    at_end: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_images(tmp_path, 6)
    for number in (2, 4, 5):
        (tmp_path / f"frame{number}.png").write_bytes(b"no image")
    source = ImageSequence(tmp_path, RATE, on_error)
    with caplog.at_level(logging.WARNING):
        frames = list(source.frames())
    assert [frame.time for frame in frames] == [n / RATE for n in shown]
    assert [frame.undecodable_packets for frame in frames] == undecodable
    assert source.undecodable_at_end == at_end
    assert "frame4.png can't be decoded" in caplog.text


def test_damaged_images_can_stop_the_reading(tmp_path: Path) -> None:
    write_images(tmp_path, 3)
    (tmp_path / "frame1.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"frame1\.png"):
        list(ImageSequence(tmp_path, RATE, "stop").frames())


def test_images_of_other_sizes_are_resized_to_the_first(tmp_path: Path) -> None:
    write_images(tmp_path, 1)
    flat = av.VideoFrame.from_ndarray(np.full((48, 64), 77, np.uint8), format="gray")
    flat.save(tmp_path / "frame1.png")
    frame = list(ImageSequence(tmp_path, RATE).frames())[1]
    assert np.array_equal(frame.picture.to_ndarray(format="rgb24"), np.full((24, 32, 3), 77))


def test_a_folder_must_hold_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match="holds no images"):
        ImageSequence(tmp_path)
    with pytest.raises(FileNotFoundError):
        ImageSequence(tmp_path / "missing")


def test_the_image_with_most_colors_determines_the_format(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, pix_fmt, size in (("1", "gray", 24), ("2", "rgb24", 24), ("3", "rgb48be", 48)):
        picture = av.VideoFrame.from_ndarray(np.full((size, 32, 3), (200, 30, 10), np.uint8), format="rgb24")
        with av.open(str(tmp_path / f"{name}.png"), "w", format="image2") as output:
            stream = output.add_stream("png", rate=1)
            stream.width, stream.height, stream.pix_fmt = 32, size, pix_fmt
            output.mux([*stream.encode(picture.reformat(format=pix_fmt)), *stream.encode()])
    source = ImageSequence(tmp_path, RATE)
    assert source.info.color.layout.name == "gbrp16le"
    assert "1 of 3 images are not of 32 x 24 pixels" in caplog.text
    shown = [frame.picture.to_ndarray(format="rgb24").mean((0, 1)) for frame in source.frames()]
    assert np.allclose(shown[1:], (200, 30, 10), atol=1)
