"""Everything that the identity model must preserve: samples, times, tags and other streams of all kinds of files."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.videos import BT601, BT709, HDR10, Clip, decode, planes, times

from ls3d.enhance import EnhanceOptions, denoise
from ls3d.video import VideoInfo, probe

X264 = {"crf": "0", "preset": "ultrafast"}
FFV1 = {"level": "3"}

#: The source, the suffix of both files, and the codec of the output, which is lossless where possible.
SOURCES: dict[str, tuple[Clip, str, str]] = {
    "variable rate": (
        Clip(8, time_base=Fraction(1, 1000), pts=[0, 40, 55, 200, 210, 250, 600, 640]),
        "mkv",
        "ffv1",
    ),
    "23.976": (Clip(12, rate=Fraction(24000, 1001)), "mp4", "h264"),
    "10-bit PQ": (Clip(5, codec="libx265", pix_fmt="yuv420p10le", tags=HDR10, options={}), "mkv", "ffv1"),
    "full range": (Clip(5, codec="ffv1", tags={**BT709, "color_range": 2}, options=FFV1), "mkv", "ffv1"),
    "yuvj420p": (Clip(5, codec="mjpeg", pix_fmt="yuvj420p", options={}), "mkv", "ffv1"),
    "BT.601 tags": (Clip(5, tags=BT601), "mkv", "ffv1"),
    "odd size": (Clip(4, (37, 51), "ffv1", options=FFV1), "mkv", "ffv1"),
    "4:2:2": (Clip(4, codec="ffv1", pix_fmt="yuv422p", options=FFV1), "mkv", "ffv1"),
    "4:1:1": (Clip(4, codec="ffv1", pix_fmt="yuv411p", options=FFV1), "mkv", "ffv1"),
    "4:4:4 12 bit": (Clip(4, codec="ffv1", pix_fmt="yuv444p12le", options=FFV1), "mkv", "ffv1"),
    "RGB": (Clip(4, codec="ffv1", pix_fmt="bgr0", options=FFV1), "mkv", "ffv1"),
    "gray": (Clip(4, codec="ffv1", pix_fmt="gray", options=FFV1), "mkv", "ffv1"),
    "rotation 90": (Clip(4, rotation=90, tags=BT709), "mp4", "h264"),
    "SAR 4:3": (Clip(4, aspect=Fraction(4, 3)), "mp4", "h264"),
    "B-frames, open GOP": (
        Clip(60, codec="libx264", options={"crf": "10", "bf": "3", "g": "10", "x264-params": "open-gop=1"}),
        "mkv",
        "ffv1",
    ),
    "one frame": (Clip(1), "mp4", "h264"),
    "two frames": (Clip(2), "mp4", "h264"),
    "a cut every 10 frames": (Clip(80, shot_length=10), "mkv", "ffv1"),
    "audio longer": (Clip(5, audio=["eng"], audio_seconds=1.5), "mp4", "h264"),
    "no audio": (Clip(5), "mov", "h264"),
    "MP4": (Clip(6, audio=["eng"]), "mp4", "h264"),
    "MOV": (Clip(6, audio=["eng"]), "mov", "h264"),
    "WebM": (
        Clip(6, codec="libvpx-vp9", options={"lossless": "1"}, audio=["eng"], audio_codec="libopus"),
        "webm",
        "vp9",
    ),
    "AVI": (Clip(6, codec="ffv1", options=FFV1, audio=["eng"], audio_codec="pcm_s16le"), "avi", "ffv1"),
    "TS": (Clip(6, audio=["eng"]), "ts", "h264"),
    "ProRes": (Clip(4, codec="prores_ks", pix_fmt="yuv422p10le", options={}), "mov", "prores"),
}


def same_tags(old: VideoInfo, new: VideoInfo) -> None:
    """Color, shape and orientation are the same."""
    assert dict(new.tags) == dict(old.tags)
    assert new.color == old.color
    assert (new.width, new.height, new.rotation) == (old.width, old.height, old.rotation)
    assert new.sample_aspect_ratio == old.sample_aspect_ratio


def relative(path: Path) -> list[Fraction]:
    """Times of frames since the first."""
    shown = times(path)
    return [time - shown[0] for time in shown]


@pytest.mark.parametrize("name", SOURCES)
def test_identity(tmp_path: Path, name: str) -> None:
    clip, suffix, codec = SOURCES[name]
    source, target = clip.write(tmp_path / f"in.{suffix}"), tmp_path / f"out.{suffix}"
    crf = {"h264": 0, "vp9": 0}.get(codec)
    report = denoise(source, target, model="identity", options=EnhanceOptions(codec=codec, crf=crf, segment_frames=40))
    assert (report.undecodable_packets, report.notes) == (0, [])
    old, new = decode(source), decode(target)
    assert len(new) == len(old) == clip.frames
    allowed = 1 if codec != "prores" else 16
    for before, after in zip(old, new, strict=True):
        for a, b in zip(planes(before), planes(after), strict=True):
            assert np.abs(a - b).max() <= (allowed if codec != "vp9" else 3)
    assert relative(target) == relative(source)
    same_tags(probe(source), probe(target))


def test_all_streams_of_a_matroska_file_are_kept(tmp_path: Path) -> None:
    clip = Clip(
        50,
        audio=["eng", "deu"],
        subtitles=[(200, 900, "one"), (1000, 1500, "two")],
        attachment=b"not really a font",
        chapters=[(0, 1000, "first"), (1000, 2000, "second")],
        metadata={"title": "A title"},
    )
    source, target = clip.write(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    report = denoise(source, target, model="identity", options=EnhanceOptions(codec="ffv1"))
    assert report.notes == []
    with av.open(str(source)) as old, av.open(str(target)) as new:
        assert [s.type for s in new.streams] == [s.type for s in old.streams]
        assert [s.metadata.get("language") for s in new.streams.audio] == ["eng", "deu"]
        assert new.streams.attachments[0].data == b"not really a font"
        assert new.streams.attachments[0].metadata == old.streams.attachments[0].metadata
        assert new.chapters() == old.chapters()
        assert new.metadata["title"] == "A title"
        for kind in ("audio", "subtitle"):
            assert packets(new, kind) == packets(old, kind)


def packets(container: av.container.InputContainer, kind: str) -> list[tuple[int, int | None, bytes]]:
    """All packets of the streams of a kind: stream, time, bytes."""
    streams = [stream for stream in container.streams if stream.type == kind]
    container.seek(0)
    return [(p.stream.index, p.pts, bytes(p)) for p in container.demux(*streams) if p.size]


def test_edit_lists_are_applied(tmp_path: Path) -> None:
    clip = Clip(30, time_base=Fraction(1, 12800), options={"crf": "0", "g": "10", "bf": "2"})
    pts = [512 * n - 512 * 12 for n in range(30)]  # the first twelve frames lie before zero
    source = replace(clip, pts=pts).write(tmp_path / "a.mp4")
    assert b"elst" in source.read_bytes()
    shown = decode(source)
    assert len(shown) == 18
    target = tmp_path / "out.mp4"
    denoise(source, target, model="identity", options=EnhanceOptions(codec="h264", crf=0))
    new = decode(target)
    assert len(new) == len(shown)
    assert relative(target) == relative(source)
    assert np.array_equal(planes(new[0])[0], planes(shown[0])[0])


def test_streams_that_a_format_cannot_hold_are_reported(tmp_path: Path) -> None:
    source = Clip(5, audio=["eng"], subtitles=[(0, 100, "one")], attachment=b"font").write(tmp_path / "in.mkv")
    report = denoise(source, tmp_path / "out.mp4", model="identity", options=EnhanceOptions(codec="h264"))
    assert [stream.type for stream in probe(tmp_path / "out.mp4").streams] == ["video", "audio", "subtitle"]
    assert len(report.notes) == 2
    assert "subrip" in report.notes[0]
    assert "attachment" in report.notes[1]


def seconds(packet: av.Packet[Any], ticks: int | None) -> Fraction:
    """A time or duration of a packet."""
    assert ticks is not None
    return ticks * packet.time_base


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "mov_text"), ("webm", "webvtt")])
def test_text_subtitles_are_converted_to_a_codec_of_the_format(tmp_path: Path, suffix: str, codec: str) -> None:
    clip = Clip(50, subtitles=[(200, 900, "one <i>it</i>"), (1000, 1500, "two")])
    source, target = clip.write(tmp_path / "in.mkv"), tmp_path / f"out.{suffix}"
    report = denoise(source, target, model="identity", options=EnhanceOptions(start=0.1))
    assert report.notes == [f"stream 1 (subtitle, subrip) converted to {codec}: styling may differ"]
    with av.open(str(target)) as container:
        stream = container.streams.subtitles[0]
        shown = [packet for packet in container.demux(stream) if b"one" in bytes(packet) or b"two" in bytes(packet)]
        words = [(seconds(packet, packet.pts), seconds(packet, packet.duration)) for packet in shown]
    assert words == [(Fraction(1, 10), Fraction(7, 10)), (Fraction(9, 10), Fraction(1, 2))]


def test_an_aspect_ratio_that_matroska_would_lose_is_reported(tmp_path: Path) -> None:
    source = Clip(2, aspect=Fraction(4, 3)).write(tmp_path / "in.mp4")
    report = denoise(source, tmp_path / "out.mkv", model="identity", options=EnhanceOptions(codec="ffv1"))
    assert len(report.notes) == 1
    assert "sample aspect ratio 4/3" in report.notes[0]
    for target, codec in (("a.mkv", "h264"), ("b.mp4", "av1")):
        assert denoise(source, tmp_path / target, model="identity", options=EnhanceOptions(codec=codec)).notes == []
        assert probe(tmp_path / target).sample_aspect_ratio == Fraction(4, 3)


def test_hdr_metadata_is_kept(tmp_path: Path) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    options = {"x265-params": f"log-level=error:master-display={display}:max-cll=1000,400"}
    source = Clip(4, codec="libx265", pix_fmt="yuv420p10le", tags=HDR10, options=options).write(tmp_path / "in.mkv")
    before = probe(source).mastering
    assert before.light_level == (1000, 400)
    assert before.luminance == (10_000_000, 50)
    for codec in ("hevc", "h264", "av1"):
        target = tmp_path / f"{codec}.mp4"
        denoise(source, target, model="identity", options=EnhanceOptions(codec=codec))
        assert probe(target).mastering == before, codec
