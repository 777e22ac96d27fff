"""Deinterlacing: pixels against the progressive pictures, times, and reading from any position."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers.fields import interlaced_clip, moving_texture, progressive_clip, telecined_clip
from helpers.videos import Clip, planes

from ls3d.video import Frame, VideoFile, VideoPipe
from ls3d.video.deinterlace import Deinterlaced
from ls3d.video.fields import Fields, examine_fields


def luma_psnr(frame: Frame, time: float) -> float:
    truth: npt.NDArray[np.floating] = 16 + moving_texture(time)[..., 0] * (219 / 255)
    error = planes(frame.picture)[0] - truth
    return float(10 * np.log10(255**2 / np.mean(error**2)))


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_each_field_becomes_the_picture_at_its_time(tmp_path: Path, first: str) -> None:
    base = VideoFile(interlaced_clip(12, first).write(tmp_path / "in.mp4"))
    assert base.info.field_order == first
    source = Deinterlaced(base, "field", first)
    frames = list(source.frames())
    assert [frame.time for frame in frames] == [Fraction(n, 50) for n in range(24)]
    assert {frame.duration for frame in frames} == {Fraction(1, 50)}
    assert source.info.rate == 50
    assert source.info.frames == 24
    assert source.info.field_order == ""
    assert min(luma_psnr(frame, n) for n, frame in enumerate(frames)) > 36
    wrong = Deinterlaced(base, "field", "bottom" if first == "top" else "top")
    assert np.mean([luma_psnr(frame, n) for n, frame in enumerate(wrong.frames())]) < 30


def test_field_order_of_codecs_that_have_only_one(tmp_path: Path) -> None:
    clip = Clip(1, size=(576, 720), codec="dvvideo", options={})  # DV is always bottom field first
    assert VideoFile(clip.write(tmp_path / "in.avi")).info.field_order == "bottom"


def test_one_frame_for_each_frame(tmp_path: Path) -> None:
    base = VideoFile(interlaced_clip(6).write(tmp_path / "in.mp4"))
    source = Deinterlaced(base, "frame", "top")
    frames = list(source.frames())
    assert [frame.time for frame in frames] == [Fraction(n, 25) for n in range(6)]
    assert source.info.rate == 25
    assert min(luma_psnr(frame, 2 * n) for n, frame in enumerate(frames)) > 36


@pytest.mark.parametrize("output", ["field", "frame"])
def test_frames_do_not_depend_on_where_reading_begins(tmp_path: Path, output: str) -> None:
    path = interlaced_clip(40).write(tmp_path / "in.mp4")
    source = Deinterlaced(VideoFile(path), "field" if output == "field" else "frame", "top")
    whole = [frame.mark() for frame in source.frames()]
    for begin in (0, 1, 2, 25, 31, len(whole) - 1):
        assert [frame.mark() for frame in source.frames(after=whole[begin : begin + 3])] == whole[begin:]
        assert [frame.mark() for frame in source.frames(start=whole[begin].time)] == whole[begin:]


def test_a_single_frame_has_two_fields(tmp_path: Path) -> None:
    source = Deinterlaced(VideoFile(interlaced_clip(1).write(tmp_path / "in.mp4")), "field", "top")
    assert [frame.time for frame in source.frames()] == [0, Fraction(1, 50)]


def test_the_second_field_before_a_gap_keeps_its_time(tmp_path: Path) -> None:
    clip = interlaced_clip(6, time_base=Fraction(1, 1000), pts=[0, 40, 80, 1080, 1120, 1160])
    source = Deinterlaced(VideoFile(clip.write(tmp_path / "in.mkv")), "field", "top")
    times = [frame.time for frame in source.frames()]
    assert times[4:7] == [Fraction(80, 1000), Fraction(80, 1000) + 1 / source.info.rate, Fraction(1080, 1000)]


def test_pipes_are_deinterlaced(tmp_path: Path) -> None:
    path = interlaced_clip(5).write(tmp_path / "in.mkv")
    whole = [frame.mark() for frame in Deinterlaced(VideoFile(path), "field", "top").frames()]
    piped = Deinterlaced(VideoPipe(io.BytesIO(path.read_bytes())), "field", "top")
    assert [frame.mark() for frame in piped.frames()] == whole


def test_content_of_fields_is_measured(tmp_path: Path) -> None:
    clips = {
        Fields("interlaced", "top"): interlaced_clip(20),
        Fields("interlaced", "bottom"): interlaced_clip(20, "bottom"),
        Fields("progressive"): progressive_clip(20),
        Fields("telecine"): telecined_clip(30),
        Fields("unknown"): Clip(20, picture=lambda _, *size: moving_texture(0, *size)),
    }
    for expected, clip in clips.items():
        assert examine_fields(VideoFile(clip.write(tmp_path / "in.mp4"))) == expected
