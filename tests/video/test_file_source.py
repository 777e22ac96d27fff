"""Files and pipes: exact times, checked seeking, damage counted, pictures that change in the middle."""

from __future__ import annotations

import errno
import io
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.videos import Clip, decode, planes, times

from ls3d.errors import InputError
from ls3d.video import Frame, Mark, OnError, VideoFile, VideoPipe
from ls3d.video.file_source import _Decoder
from ls3d.video.scheduling import unchanged_scheduling

OPEN_GOP = {"crf": "20", "g": "10", "bf": "3", "x264-params": "open-gop=1"}


def damaged_clip(path: Path, damaged: list[int], frames: int = 10) -> Path:
    """A video of PNG images in MOV, of which some are overwritten with zeros."""
    Clip(frames, codec="png", pix_fmt="rgb24", options={}).write(path)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = path.read_bytes()
    for number in damaged:
        place = content.index(packets[number])
        content = content[:place] + bytes(len(packets[number])) + content[place + len(packets[number]) :]
    path.write_bytes(content)
    return path


def same_samples(frame: Frame, truth: av.VideoFrame) -> bool:
    """Whether a frame holds the samples of a picture that PyAV decoded."""
    return all(np.array_equal(a, b) for a, b in zip(planes(frame.picture), planes(truth), strict=True))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_frames_and_times_are_those_of_ffmpeg(tmp_path: Path, suffix: str) -> None:
    path = Clip(40, options=OPEN_GOP).write(tmp_path / f"in.{suffix}")
    frames = list(VideoFile(path).frames())
    expected = times(path)
    assert [frame.time for frame in frames] == [time - expected[0] for time in expected]
    assert all(same_samples(frame, truth) for frame, truth in zip(frames, decode(path), strict=True))
    assert not any(frame.retimed or frame.undecodable_packets for frame in frames)


def test_variable_frame_rate(tmp_path: Path) -> None:
    pts = [0, 40, 55, 200, 210, 250, 600, 640]
    source = VideoFile(Clip(8, time_base=Fraction(1, 1000), pts=pts).write(tmp_path / "in.mkv"))
    assert [frame.time for frame in source.frames()] == [Fraction(time, 1000) for time in pts]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("begin", [0, 5, 9, 10, 11, 29, 38])
def test_reading_resumes_at_marked_frames(tmp_path: Path, suffix: str, begin: int) -> None:
    source = VideoFile(Clip(40, options=OPEN_GOP).write(tmp_path / f"in.{suffix}"))
    whole = [frame.mark() for frame in source.frames()]
    assert len(whole) == 40
    marks = whole[begin : begin + 2]
    assert [frame.mark() for frame in source.frames(after=marks)] == whole[begin:]


@pytest.mark.parametrize("time", [Fraction(2, 25), Fraction(99)])
def test_marks_of_another_file_are_refused(tmp_path: Path, time: Fraction) -> None:
    source = VideoFile(Clip(10).write(tmp_path / "in.mp4"))
    with pytest.raises(InputError, match="has changed"):
        list(source.frames(after=[Mark(time, "0123456789abcdef")]))


@pytest.mark.parametrize("begin", [0, 7, 10, 33])
def test_reading_from_a_time(tmp_path: Path, begin: int) -> None:
    source = VideoFile(Clip(40, options=OPEN_GOP).write(tmp_path / "in.mp4"))
    whole = [frame.mark() for frame in source.frames()]
    shown = [frame.mark() for frame in source.frames(start=Fraction(begin, 25))]
    assert shown == whole[begin:]


def test_reading_from_a_time_between_two_frames(tmp_path: Path) -> None:
    source = VideoFile(Clip(40, options=OPEN_GOP).write(tmp_path / "in.mp4"))
    assert next(source.frames(start=Fraction(1, 2))).time == Fraction(13, 25)


def test_reading_from_beyond_the_end_gives_no_frame(tmp_path: Path) -> None:
    source = VideoFile(Clip(10).write(tmp_path / "in.mp4"))
    assert list(source.frames(start=Fraction(99))) == []


def test_files_that_cannot_seek_are_read_from_the_beginning(tmp_path: Path) -> None:
    """A raw H.264 stream has no index and no timestamps."""
    source = VideoFile(Clip(30, options={"crf": "20", "bf": "0"}).write(tmp_path / "in.h264"))
    whole = [frame.mark() for frame in source.frames()]
    assert len(whole) == 30
    assert [frame.mark() for frame in source.frames(after=whole[20:22])] == whole[20:]


def test_times_increase_where_the_clock_of_the_file_jumps_back(tmp_path: Path) -> None:
    """Two recordings, one after the other in one file."""
    parts = [Clip(10, options={"crf": "20", "bf": "0"}).write(tmp_path / f"{n}.ts") for n in range(2)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = list(VideoFile(joined).frames())
    shown = [frame.time for frame in frames]
    assert len(frames) == 20
    assert shown == sorted(set(shown))
    assert [frame.retimed for frame in frames] == [False] * 10 + [True] * 10


def test_pictures_keep_the_size_and_format_of_the_first(tmp_path: Path) -> None:
    """A recording in which the resolution and the pixel format change."""
    small = Clip(5, (48, 64), options={"crf": "20", "bf": "0"}).write(tmp_path / "small.ts")
    large = Clip(5, (96, 128), pix_fmt="yuv444p", options={"crf": "20", "bf": "0"}).write(tmp_path / "large.ts")
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    source = VideoFile(joined)
    frames = list(source.frames())
    assert len(frames) == 10
    for frame in frames:
        assert (frame.picture.height, frame.picture.width, frame.picture.format.name) == (48, 64, "yuv420p")
    luma = planes(decode(large)[0])[0].reshape(48, 2, 64, 2).mean((1, 3))
    assert np.abs(planes(frames[5].picture)[0] - luma).mean() < 3


@pytest.mark.parametrize("damaged", [[4], [2, 3, 7], [1], [8], [5, 8]])
def test_undecodable_frames_are_left_out_and_counted(tmp_path: Path, damaged: list[int]) -> None:
    path = damaged_clip(tmp_path / "in.mov", damaged)
    source = VideoFile(path, "skip")
    frames = list(source.frames())
    assert [frame.time for frame in frames] == [Fraction(n, 25) for n in range(10) if n not in damaged]
    assert sum(frame.undecodable_packets for frame in frames) == len(damaged)
    assert source.undecodable_at_end == 0


@pytest.mark.parametrize("damaged", [[4], [2, 3, 7], [8], [9], [8, 9]])
def test_undecodable_frames_are_repeated(tmp_path: Path, damaged: list[int]) -> None:
    source = VideoFile(damaged_clip(tmp_path / "in.mov", damaged), "repeat")
    frames = list(source.frames())
    assert [frame.time for frame in frames] == [Fraction(n, 25) for n in range(10)]
    assert [frame.undecodable_packets for frame in frames] == [int(n in damaged) for n in range(10)]
    for number in damaged:
        assert frames[number].mark().digest == frames[number - 1].mark().digest
    assert source.undecodable_at_end == 0


@pytest.mark.parametrize(("damaged", "time"), [(4, r"0\.160 s"), (8, r"0\.320 s"), (9, r"0\.360 s")])
def test_undecodable_frames_stop_with_their_time(tmp_path: Path, damaged: int, time: str) -> None:
    source = VideoFile(damaged_clip(tmp_path / "in.mov", [damaged]), "stop")
    with pytest.raises(InputError, match=time):
        list(source.frames())


@pytest.mark.parametrize("on_error", ["skip", "repeat"])
def test_an_undecodable_first_frame_is_counted(tmp_path: Path, on_error: OnError) -> None:
    source = VideoFile(damaged_clip(tmp_path / "in.mov", [0]), on_error)
    frames = list(source.frames())
    assert [frame.time for frame in frames] == [Fraction(n, 25) for n in range(1, 10)]
    assert [frame.undecodable_packets for frame in frames] == [1] + [0] * 8


@pytest.mark.parametrize("damaged", [[9], [8, 9], [5, 6, 7, 8, 9]])
def test_undecodable_frames_at_the_end_are_counted(tmp_path: Path, damaged: list[int]) -> None:
    source = VideoFile(damaged_clip(tmp_path / "in.mov", damaged))
    assert [frame.time for frame in source.frames()] == [Fraction(n, 25) for n in range(10 - len(damaged))]
    assert source.undecodable_at_end == len(damaged)


def test_damage_at_the_end_gives_no_frame_before_the_start(tmp_path: Path) -> None:
    source = VideoFile(damaged_clip(tmp_path / "in.mov", [8]))
    assert [frame.time for frame in source.frames(start=Fraction(9, 25))] == [Fraction(9, 25)]
    assert list(source.frames(start=Fraction(10, 25))) == []


class FailingContainer:
    """A container of which only the first packets can be read, as from a failing disk."""

    def __init__(self, container: av.container.InputContainer, packets: int) -> None:
        self.streams = container.streams
        self._container = container
        self._packets = packets

    def demux(self, stream: av.VideoStream) -> Iterator[Any]:
        yield from itertools.islice(self._container.demux(stream), self._packets)
        raise av.OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("threaded", [True, False])
def test_frames_read_before_a_read_error_are_kept(
    tmp_path: Path, threaded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    source = VideoFile(Clip(20, options={"bf": "0"}).write(tmp_path / "in.mp4"))
    with av.open(str(source.path)) as container:
        failing: Any = FailingContainer(container, packets=12)
        decoder = _Decoder(failing, source.info, "skip", threaded)
        assert [frame.time for frame in decoder.frames()] == [Fraction(n, 25) for n in range(12)]
    assert decoder.undecodable == 1
    assert "reading ends early" in caplog.text


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    header = b"YUV4MPEG2 W16 H8 F30:1 Ip A1:1 C420jpeg\n"
    body = b"".join(b"FRAME\n" + bytes([16 + n] * 128 + [128] * 64) for n in range(5))
    source = VideoPipe(io.BytesIO(header + body))
    assert (source.info.width, source.info.height) == (16, 8)
    assert source.info.rate == Fraction(30)
    assert not source.info.seekable
    frames = list(source.frames())
    assert [frame.time for frame in frames] == [Fraction(n, 30) for n in range(5)]
    assert [int(planes(frame.picture)[0].mean()) for frame in frames] == [16, 17, 18, 19, 20]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "mpeg2video"])
@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_a_pipe_gives_all_frames_that_the_decoder_holds_back(
    tmp_path: Path, codec: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVT_LOG", "1")
    options = {"libx265": {"x265-params": "log-level=error"}, "libsvtav1": {"preset": "12"}}.get(codec, {})
    with unchanged_scheduling():
        path = Clip(count, (64, 96), codec=codec, options=options).write(tmp_path / "in.mkv")
    source = VideoPipe(io.BytesIO(path.read_bytes()))
    frames = list(source.frames())
    assert len(frames) == count
    assert all(same_samples(frame, truth) for frame, truth in zip(frames, decode(path), strict=True))
    assert sum(frame.undecodable_packets for frame in frames) + source.undecodable_at_end == 0


def test_a_pipe_can_start_late_but_not_resume(tmp_path: Path) -> None:
    content = Clip(10).write(tmp_path / "in.mkv").read_bytes()
    frames = list(VideoPipe(io.BytesIO(content)).frames(start=Fraction(4, 25)))
    assert [frame.time for frame in frames] == [Fraction(n, 25) for n in range(4, 10)]
    with pytest.raises(InputError, match="can't be resumed"):
        next(VideoPipe(io.BytesIO(content)).frames(after=[frames[0].mark()]))


def test_undecodable_frames_of_a_pipe_are_counted(tmp_path: Path) -> None:
    damaged_clip(tmp_path / "in.mov", [0, 3])
    with av.open(str(tmp_path / "in.mov")) as source, av.open(str(tmp_path / "in.nut"), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    content = (tmp_path / "in.nut").read_bytes()
    frames = list(VideoPipe(io.BytesIO(content)).frames())
    assert len(frames) == 8
    assert [frame.undecodable_packets for frame in frames] == [1, 0, 1, 0, 0, 0, 0, 0]
    with pytest.raises(InputError, match="first frame can't be decoded"):
        VideoPipe(io.BytesIO(content), "stop")


def test_what_is_piped_must_be_a_video() -> None:
    with pytest.raises(InputError, match="standard input is not a video"):
        VideoPipe(io.BytesIO(b"not a video\n" * 50))


@pytest.mark.parametrize("options", [{"bf": "0"}, {"x264-params": "bframes=3:b-adapt=0"}])
@pytest.mark.parametrize("as_pipe", [False, True])
def test_h264_in_avi_is_shown_from_its_first_tick_on(tmp_path: Path, options: dict[str, str], as_pipe: bool) -> None:
    """AVI has no presentation times; those that FFmpeg guesses are late by the decoder's delay."""
    path = Clip(12, options=options).write(tmp_path / "in.avi")
    with path.open("rb") as file:
        source = VideoPipe(file) if as_pipe else VideoFile(path)
        frames = list(source.frames())
    assert [frame.time for frame in frames] == [Fraction(n, 25) for n in range(12)]
    assert not any(frame.retimed for frame in frames)
    if not as_pipe:
        marks = [frame.mark() for frame in frames[5:7]]
        assert [frame.mark() for frame in VideoFile(path).frames(after=marks)] == [frame.mark() for frame in frames[5:]]
