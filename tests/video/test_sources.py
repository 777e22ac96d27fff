"""What every source must fulfill, as ``ls3d.video.Source`` says; a new source gets an entry in ``SOURCES``."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.videos import Clip, decode

from ls3d.video import ImageSequence, Source, VideoFile, VideoPipe

FRAMES = 30


def image_folder(folder: Path) -> Source:
    (folder / "images").mkdir()
    for number, picture in enumerate(decode(Clip(FRAMES).write(folder / "in.mkv"))):
        picture.save(folder / "images" / f"{number}.png")
    return ImageSequence(folder / "images")


def video_file(folder: Path, suffix: str = "mp4") -> Source:
    return VideoFile(Clip(FRAMES, options={"g": "8", "bf": "2"}, audio=["eng"]).write(folder / f"in.{suffix}"))


def pipe(folder: Path) -> Source:
    return VideoPipe(io.BytesIO(Clip(FRAMES).write(folder / "in.mkv").read_bytes()))


SOURCES: dict[str, Callable[[Path], Source]] = {
    "MP4": video_file,
    "MPEG-TS": lambda folder: video_file(folder, "ts"),
    "pipe": pipe,
    "images": image_folder,
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return SOURCES[request.param](tmp_path)


def test_every_frame_has_the_layout_size_and_tags_of_the_video(source: Source) -> None:
    info = source.info
    for frame in source.frames():
        picture = frame.picture
        assert picture.format.name == info.color.layout.name
        assert (picture.height, picture.width) == (info.height, info.width)
        assert {name: getattr(picture, name) for name in info.tags} == info.tags


def test_times_start_near_zero_and_increase(source: Source) -> None:
    frames = list(source.frames())
    assert len(frames) == FRAMES
    assert 0 <= frames[0].time < frames[0].duration
    assert all(before.time < after.time for before, after in pairwise(frames))
    assert all(before.time + before.duration == after.time for before, after in pairwise(frames))


def test_nothing_is_undecodable(source: Source) -> None:
    assert not any(frame.undecodable_packets or frame.retimed for frame in source.frames())
    assert source.undecodable_at_end == 0


def test_seekable_sources_give_the_same_frames_again(source: Source) -> None:
    whole = [frame.mark() for frame in source.frames()]
    if source.info.seekable:
        assert [frame.mark() for frame in source.frames()] == whole
        assert [frame.mark() for frame in source.frames(after=whole[17:20], start=Fraction(1))] == whole[17:]
        assert [frame.mark() for frame in source.frames(start=whole[21].time)] == whole[21:]
