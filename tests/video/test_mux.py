"""Segments joined into a file: decoding times, whatever the order of packets, and what FFmpeg reads from the file."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.encoding import encode, rewrite, segment_of, settings_for
from helpers.videos import BT709, Clip, decode, planes, time_of, times
from hypothesis import given
from hypothesis import strategies as st

from ls3d.video import EncodedSegment, Packet, TimeRange, VideoFile, probe, reorder_depth, write_container
from ls3d.video.mux import in_decoding_order


@st.composite
def segment_lists(draw: st.DrawFn) -> list[EncodedSegment]:
    """Segments of variable frame rate, each in an order that an encoder could have chosen."""
    result, clock = [], draw(st.integers(-100, 100))
    for _ in range(draw(st.integers(1, 4))):
        shown = []
        for _ in range(draw(st.integers(1, 12))):
            shown.append(clock)
            clock += draw(st.integers(1, 50))
        order = shown[:]
        for _ in range(draw(st.integers(0, 6))):
            here, there = (draw(st.integers(0, len(order) - 1)) for _ in range(2))
            order.insert(there, order.pop(here))
        result.append(segment(order, clock))
    return result


def segment(order: list[int], end: int) -> EncodedSegment:
    return EncodedSegment(lambda: (Packet(pts, False, b"") for pts in order), lambda: order, reorder_depth(order), end)


@given(segment_lists())
def test_decoding_times_increase_and_are_never_late(segments: list[EncodedSegment]) -> None:
    timed = list(in_decoding_order(segments))
    assert [each.packet.pts for each in timed] == [pts for each in segments for pts in each.times()]
    assert all(a.dts < b.dts for a, b in pairwise(timed))
    assert all(each.dts <= each.packet.pts for each in timed)


@given(segment_lists())
def test_durations_last_until_the_next_frame(segments: list[EncodedSegment]) -> None:
    timed = sorted(in_decoding_order(segments), key=lambda each: each.packet.pts)
    for here, following in pairwise(timed):
        assert here.packet.pts + here.duration == following.packet.pts
    assert timed[-1].packet.pts + timed[-1].duration == segments[-1].end


def test_without_reordering_frames_are_decoded_when_they_are_shown() -> None:
    timed = list(in_decoding_order([segment([0, 10, 25], 30), segment([30, 40], 50)]))
    assert [each.dts for each in timed] == [0, 10, 25, 30, 40]


@pytest.mark.parametrize(
    ("order", "depth"),
    [([], 0), ([0], 0), ([0, 1, 2], 0), ([0, 2, 1], 1), ([0, 4, 2, 1, 3], 2), ([0, 3, 2, 1], 2), ([5, 1], 1)],
)
def test_reorder_depth(order: list[int], depth: int) -> None:
    assert reorder_depth(order) == depth


def test_segments_without_frames_are_passed_over() -> None:
    timed = in_decoding_order([segment([], 0), segment([0, 20, 10], 30), segment([], 30), segment([30], 40)])
    assert [(each.packet.pts, each.duration) for each in timed] == [(0, 10), (20, 10), (10, 10), (30, 10)]
    assert list(in_decoding_order([])) == []


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize("segment_frames", [1, 7, 100])
def test_joined_segments_show_every_frame_at_its_time(tmp_path: Path, suffix: str, segment_frames: int) -> None:
    pts = [0, 1000, 1500, 4000, 4100, 9000, *range(9500, 16_500, 500)]
    source = Clip(20, time_base=Fraction(1, 10_000), pts=pts).write(tmp_path / "in.mp4")
    target = tmp_path / f"out.{suffix}"
    rewrite(source, target, "h264", crf=0, segment_frames=segment_frames)
    tick = {"ts": Fraction(1, 90_000), "mkv": Fraction(1, 1000)}.get(suffix, Fraction(1, 10_000))
    start = times(target)[0]
    for old, new in zip(decode(source), decode(target), strict=True):
        assert abs(time_of(new) - start - time_of(old)) <= tick
        assert all(np.array_equal(a, b) for a, b in zip(planes(old), planes(new), strict=True))


def test_the_last_frame_lasts_until_the_end_of_the_segment(tmp_path: Path) -> None:
    source = Clip(3).write(tmp_path / "in.mp4")
    settings = settings_for(source, tmp_path / "out.mp4", "h264")
    settings = replace(settings, options={**settings.options, "bf": "0"})  # MP4 stores durations in decoding order
    step = round(Fraction(1, 25) / settings.time_base)
    pictures = [frame.picture for frame in VideoFile(source).frames()]
    segments = [segment_of(encode(settings, pictures, [0, step, 2 * step]), 10 * step)]
    write_container(tmp_path / "out.mp4", "mp4", settings, segments, probe(source), None, TimeRange())
    assert probe(tmp_path / "out.mp4").duration == Fraction(10, 25)


def test_packets_of_all_streams_are_interleaved(tmp_path: Path) -> None:
    source = Clip(50, audio=["eng"], options={"crf": "0", "bf": "3"}).write(tmp_path / "in.mkv")
    rewrite(source, tmp_path / "out.mkv", "h264")
    with av.open(str(tmp_path / "out.mkv")) as container:
        packets = [packet for packet in container.demux() if packet.size]
        decoded = [packet.dts * packet.time_base for packet in packets if packet.dts is not None]
        assert {packet.stream.type for packet in packets} == {"video", "audio"}
    assert all(before <= after + Fraction(1, 500) for before, after in pairwise(decoded))


def test_orientation_shape_and_tags_are_written(tmp_path: Path) -> None:
    source = Clip(2, rotation=90, aspect=Fraction(4, 3), tags=BT709).write(tmp_path / "in.mp4")
    for suffix, codec in (("mp4", "h264"), ("mov", "prores"), ("mp4", "vp9"), ("mkv", "h264")):
        target = tmp_path / f"{codec}.{suffix}"
        report = rewrite(source, target, codec)
        info = probe(target)
        assert (info.rotation, info.sample_aspect_ratio, info.tags) == (90, Fraction(4, 3), BT709)
        assert report.notes == []


@pytest.mark.parametrize("codec", ["vp9", "av1", "ffv1"])
def test_a_sample_aspect_ratio_that_matroska_cannot_hold_is_reported(tmp_path: Path, codec: str) -> None:
    source = Clip(2, (64, 96), aspect=Fraction(4, 3)).write(tmp_path / "in.mp4")
    report = rewrite(source, tmp_path / "out.mkv", codec)
    assert report.notes == [f"sample aspect ratio 4/3 left out: {codec} in a matroska file can't hold it"]


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_hevc_has_the_tag_that_apple_expects(tmp_path: Path, suffix: str) -> None:
    rewrite(Clip(2).write(tmp_path / "in.mp4"), tmp_path / f"out.{suffix}", "hevc")
    content = (tmp_path / f"out.{suffix}").read_bytes()
    assert b"hvc1" in content
    assert b"hev1" not in content
    assert content.index(b"moov") < content.index(b"mdat")  # players can start before the file is complete
