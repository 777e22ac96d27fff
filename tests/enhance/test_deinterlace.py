"""Jobs on interlaced videos: frames, times, marks and notes of the output; resuming."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.fields import interlaced_clip, moving_texture, progressive_clip, telecined_clip
from helpers.marks import slow_except
from helpers.networks import Mean
from helpers.videos import Clip, decode, planes, times

from ls3d.enhance import EnhanceOptions, denoise, interpolate
from ls3d.video import probe
from ls3d.video.fields import has_pulldown_flags

LOSSLESS = EnhanceOptions(codec="ffv1", threads=1)


def truth(time: float, height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Luma of the progressive picture at a time in fields."""
    return np.asarray(16 + moving_texture(time, height, width)[..., 0] * (219 / 255))


def psnr_of_bwdif(path: Path) -> list[float]:
    """PSNR of what FFmpeg's bwdif makes of a file, by a filter graph of its own."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(template=stream), graph.add("bwdif", "mode=send_field:parity=tff"), graph.add("buffersink")
        ).configure()
        made = []
        for frame in [*container.decode(stream), None]:
            graph.push(frame)
            while True:
                try:
                    made.append(graph.pull())
                except (av.BlockingIOError, av.EOFError):
                    break
    return [psnr(frame, time) for time, frame in enumerate(made)]


def psnr(frame: object, time: float) -> float:
    assert isinstance(frame, av.VideoFrame)
    return float(10 * np.log10(255**2 / np.mean((planes(frame)[0] - truth(time, frame.height, frame.width)) ** 2)))


@pytest.mark.parametrize("size", slow_except([(96, 128), (480, 720)], [(96, 128)]))
def test_25_interlaced_frames_become_50(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: tuple[int, int]
) -> None:
    source = interlaced_clip(12, audio=["eng"], size=size).write(tmp_path / "in.mp4")
    denoise(source, tmp_path / "out.mkv", model="identity", options=LOSSLESS)
    made = decode(tmp_path / "out.mkv")
    shown = times(tmp_path / "out.mkv")  # the sound begins earlier
    assert [time - shown[0] for time in shown] == [Fraction(n, 50) for n in range(24)]
    for ours, reference in zip(
        (psnr(frame, time) for time, frame in enumerate(made)), psnr_of_bwdif(source), strict=True
    ):
        assert abs(ours - reference) < 1
    info = probe(tmp_path / "out.mkv")
    assert info.rate == 50
    assert info.field_order == ""
    assert not any(frame.interlaced_frame for frame in made)
    assert [stream.type for stream in info.streams] == ["video", "audio"]
    assert caplog.text.count("interlaced (top field first): one frame is made of each field") == 1


def test_fields_are_interpolated(tmp_path: Path) -> None:
    source = interlaced_clip(4, "bottom", Fraction(30_000, 1001)).write(tmp_path / "in.mp4")
    interpolate(source, tmp_path / "out.mp4", model="blend")
    assert times(tmp_path / "out.mp4") == [Fraction(1001 * n, 120_000) for n in range(16)]


def test_one_frame_for_each_frame(tmp_path: Path) -> None:
    source = interlaced_clip(6).write(tmp_path / "in.mp4")
    options = EnhanceOptions(codec="ffv1", deinterlace="frame")
    denoise(source, tmp_path / "out.mkv", model="identity", options=options)
    assert times(tmp_path / "out.mkv") == [Fraction(n, 25) for n in range(6)]
    assert probe(tmp_path / "out.mkv").field_order == ""


def test_deinterlacing_can_be_disabled_and_forced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = interlaced_clip(4).write(tmp_path / "in.mp4")
    off = EnhanceOptions(codec="ffv1", deinterlace="off")
    denoise(source, tmp_path / "out.mkv", model="identity", options=off)
    assert [planes(frame)[0].tolist() for frame in decode(tmp_path / "out.mkv")] == [
        planes(frame)[0].tolist() for frame in decode(source)
    ]
    assert probe(tmp_path / "out.mkv").field_order == "top"
    assert "processed as if they were progressive" in caplog.text
    unmarked = Clip(4).write(tmp_path / "unmarked.mp4")
    denoise(unmarked, tmp_path / "forced.mp4", model="identity", options=EnhanceOptions(deinterlace="field"))
    assert len(decode(tmp_path / "forced.mp4")) == 8


def test_progressive_frames_marked_as_interlaced_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = progressive_clip(16).write(tmp_path / "in.mp4")
    denoise(source, tmp_path / "out.mp4", model="identity")
    assert len(decode(tmp_path / "out.mp4")) == 16
    assert caplog.text.count("its frames are progressive: they are not deinterlaced") == 1


def test_telecine_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    denoise(telecined_clip(20).write(tmp_path / "in.mp4"), tmp_path / "out.mp4", model="identity")
    assert caplog.text.count("3:2 pulldown") == 1
    caplog.clear()
    ticks = [n // 2 * 5005 + n % 2 * 3003 for n in range(60)]  # of 1/60000 s: 3 fields and 2 fields in turn
    clip = Clip(60, rate=Fraction(24_000, 1001), time_base=Fraction(1, 60_000), pts=ticks)
    flagged = clip.write(tmp_path / "soft.mp4")
    assert has_pulldown_flags(flagged, "h264")
    assert not has_pulldown_flags(Clip(60).write(tmp_path / "even.mp4"), "h264")
    denoise(flagged, tmp_path / "soft_out.mp4", model="identity", options=EnhanceOptions(duration=0.1))
    assert caplog.text.count("pulldown flags") == 1


@pytest.mark.parametrize("call", [9, 15])
def test_interrupted_jobs_resume(tmp_path: Path, call: int) -> None:
    source = interlaced_clip(20).write(tmp_path / "in.mp4")
    options = EnhanceOptions(threads=1, segment_frames=7, start=0.1)
    whole, resumed = tmp_path / "whole.mp4", tmp_path / "resumed.mp4"
    denoise(source, whole, model=Mean(), options=options)
    with pytest.raises(KeyboardInterrupt):
        denoise(source, resumed, model=Mean(breaks_at=call), options=options)
    report = denoise(source, resumed, model=Mean(), options=options)
    assert report.resumed == (call - 1) // 7
    assert resumed.read_bytes() == whole.read_bytes()


def test_other_deinterlacing_is_another_job(tmp_path: Path) -> None:
    source = interlaced_clip(20).write(tmp_path / "in.mp4")
    options = EnhanceOptions(threads=1, segment_frames=7)
    with pytest.raises(KeyboardInterrupt):
        denoise(source, tmp_path / "out.mp4", model=Mean(breaks_at=15), options=options)
    frame = EnhanceOptions(threads=1, segment_frames=7, deinterlace="frame")
    assert denoise(source, tmp_path / "out.mp4", model=Mean(), options=frame).resumed == 0
