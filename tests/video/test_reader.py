"""Reading: exact times, seeking that can be trusted, damage that is told, pipes and images."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import Clip, decode, moving_picture

from ls3d.errors import InputError
from ls3d.video import ImageSequence, Mark, VideoFile, VideoPipe, find_cuts, probe

OPEN_GOP = {"crf": "20", "g": "10", "bf": "3", "x264-params": "open-gop=1"}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("begin", [0, 5, 9, 10, 11, 29, 38])
def test_reading_goes_on_from_marked_frames(tmp_path: Path, suffix: str, begin: int) -> None:
    source = VideoFile(Clip(40, options=OPEN_GOP).write(tmp_path / f"in.{suffix}"))
    whole = [frame.mark() for frame in source.frames()]
    assert len(whole) == 40
    marks = whole[begin : begin + 2]
    assert [frame.mark() for frame in source.frames(after=marks)] == whole[begin:]


def test_marks_of_another_file_are_refused(tmp_path: Path) -> None:
    source = VideoFile(Clip(10).write(tmp_path / "in.mp4"))
    with pytest.raises(InputError, match="has changed"):
        list(source.frames(after=[Mark(Fraction(2, 25), "0123456789abcdef")]))


@pytest.mark.parametrize("begin", [0, 7, 10, 33])
def test_reading_from_a_time(tmp_path: Path, begin: int) -> None:
    source = VideoFile(Clip(40, options=OPEN_GOP).write(tmp_path / "in.mp4"))
    whole = [frame.mark() for frame in source.frames()]
    shown = [frame.mark() for frame in source.frames(start=Fraction(begin, 25))]
    assert shown == whole[begin:]


def test_times_always_increase(tmp_path: Path) -> None:
    """Two recordings one after the other in one file: the clock jumps back in the middle."""
    parts = [Clip(10, options={"crf": "20", "bf": "0"}).write(tmp_path / f"{n}.ts") for n in range(2)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = list(VideoFile(joined).frames())
    shown = [frame.time for frame in frames]
    assert len(frames) == 20
    assert shown == sorted(set(shown))
    assert sum(frame.retimed for frame in frames) > 0


@pytest.mark.parametrize("on_error", ["skip", "repeat", "stop"])
def test_damaged_frames_are_counted(tmp_path: Path, on_error: str) -> None:
    path = Clip(10, codec="png", pix_fmt="rgb24", options={}).write(tmp_path / "in.mov")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        victim = bytes(packets[4])
    content = path.read_bytes()
    place = content.index(victim)
    path.write_bytes(content[:place] + bytes(len(victim)) + content[place + len(victim) :])
    source = VideoFile(path, on_error)  # type: ignore[arg-type]
    if on_error == "stop":
        with pytest.raises(InputError, match=r"0\.160 s"):
            list(source.frames())
        return
    frames = list(source.frames())
    assert sum(frame.undecodable_packets for frame in frames) == 1
    assert len(frames) == (10 if on_error == "repeat" else 9)
    if on_error == "repeat":
        assert frames[4].mark().digest == frames[3].mark().digest
        assert frames[4].time == Fraction(4, 25)


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    header = b"YUV4MPEG2 W16 H8 F30:1 Ip A1:1 C420jpeg\n"
    body = b"".join(b"FRAME\n" + bytes([16 + n] * 128 + [128] * 64) for n in range(5))
    source = VideoPipe(io.BytesIO(header + body))
    assert (source.info.width, source.info.height, source.info.rate) == (16, 8, 30)
    frames = list(source.frames())
    assert [frame.time for frame in frames] == [Fraction(n, 30) for n in range(5)]


def test_images_in_their_natural_order(tmp_path: Path) -> None:
    for n in range(12):
        picture = av.VideoFrame.from_ndarray(moving_picture(n, 24, 32), format="rgb24")
        picture.save(tmp_path / f"frame{n}.png")
    (tmp_path / "notes.txt").write_text("no image")
    source = ImageSequence(tmp_path, Fraction(24))
    frames = list(source.frames())
    assert [frame.time for frame in frames] == [Fraction(n, 24) for n in range(12)]
    for n, frame in enumerate(frames):
        assert np.array_equal(frame.picture.to_ndarray(format="rgb24"), moving_picture(n, 24, 32))
    marks = [frame.mark() for frame in frames[5:6]]
    assert [f.time for f in source.frames(after=marks)] == [Fraction(n, 24) for n in range(5, 12)]


def test_probe_knows_the_file(tmp_path: Path) -> None:
    path = Clip(10, audio=["eng", "fra"], rotation=90, aspect=Fraction(4, 3)).write(tmp_path / "in.mp4")
    info = probe(path)
    assert (info.codec, info.width, info.height) == ("h264", 64, 48)
    assert (info.rate, info.frames, info.duration) == (25, 10, Fraction(10, 25))
    assert (info.rotation, info.sample_aspect_ratio) == (90, Fraction(4, 3))
    assert [(stream.type, stream.codec) for stream in info.streams] == [
        ("video", "h264"),
        ("audio", "aac"),
        ("audio", "aac"),
    ]


def test_a_sound_file_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.wav"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        samples.sample_rate = 8000
        output.mux(stream.encode(samples))
    with pytest.raises(InputError, match="no video stream"):
        probe(tmp_path / "a.wav")


def test_cuts_are_found_and_motion_is_not(tmp_path: Path) -> None:
    clip = VideoFile(Clip(60, shot_length=10).write(tmp_path / "in.mp4"))
    cuts = [n for n, shot in enumerate(find_cuts(clip.frames())) if shot.cut_after]
    assert cuts == [9, 19, 29, 39, 49]
    fast = VideoFile(Clip(30, picture=lambda n, h, w: moving_picture(9 * n, h, w)).write(tmp_path / "f.mp4"))
    assert not any(shot.cut_after for shot in find_cuts(fast.frames()))
    assert not any(shot.cut_after for shot in find_cuts(clip.frames(), threshold=0))


@pytest.mark.parametrize("hold", [2, 3])
def test_animation_on_twos_and_threes_has_no_cuts(tmp_path: Path, hold: int) -> None:
    clip = Clip(24, picture=lambda n, h, w: moving_picture(4 * (n // hold), h, w)).write(tmp_path / "in.mp4")
    assert not any(shot.cut_after for shot in find_cuts(VideoFile(clip).frames()))


def test_a_flash_is_no_cut(tmp_path: Path) -> None:
    def lightning(index: int, height: int, width: int) -> np.ndarray:
        still = moving_picture(0, height, width)
        return np.full_like(still, 255) if index == 5 else still

    clip = VideoFile(Clip(12, picture=lightning).write(tmp_path / "in.mp4"))
    assert not any(shot.cut_after for shot in find_cuts(clip.frames()))
    assert len(decode(tmp_path / "in.mp4")) == 12
