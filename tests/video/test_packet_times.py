"""Times of packets: the first ones of a file, and those of copied packets after a clock that starts anew."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from helpers import videos

from ls3d.errors import InputError
from ls3d.video.packet_times import PacketTimes, first_packet_times, is_strict

MILLISECOND = Fraction(1, 1000)


def packet(dts: int | None, pts: int | None = None, duration: int = 40, base: Fraction = MILLISECOND) -> av.Packet[Any]:
    made: av.Packet[Any] = av.Packet(1)
    made.time_base = base
    made.dts = dts
    made.pts = dts if pts is None else pts
    made.duration = duration
    return made


def shown(packet: av.Packet[Any]) -> tuple[Fraction, Fraction, Fraction]:
    """Decoding time, presentation time and duration in seconds."""
    base = Fraction(packet.time_base)
    assert packet.dts is not None
    assert packet.pts is not None
    return packet.dts * base, packet.pts * base, int(packet.duration or 0) * base


def milliseconds(*times: int) -> tuple[Fraction, ...]:
    return tuple(time * MILLISECOND for time in times)


def test_times_that_increase_stay() -> None:
    times = PacketTimes("stream 1", strict=True)
    for dts, pts in ((0, 80), (40, 40), (81, 120)):
        moved = packet(dts, pts)
        assert times.apply(moved) == dts * MILLISECOND
        assert (moved.dts, moved.pts, moved.duration, moved.time_base) == (dts, pts, 40, MILLISECOND)


def test_equal_times_stay_where_the_format_allows_them() -> None:
    times = PacketTimes("stream 1", strict=False)
    for _ in range(3):
        moved = packet(100)
        assert times.apply(moved) == Fraction(1, 10)
        assert (moved.dts, moved.time_base) == (100, MILLISECOND)


def test_equal_times_follow_each_other_closely_in_strict_formats() -> None:
    """1/16000 s apart, in ticks of 1/720000 s; the distance of presentation from decoding stays."""
    times = PacketTimes("stream 1", strict=True)
    for number in range(3):
        moved = packet(100, 140)
        expected = Fraction(1, 10) + Fraction(number, 16_000)
        assert times.apply(moved) == expected
        assert shown(moved) == (expected, expected + 40 * MILLISECOND, 40 * MILLISECOND)
    assert moved.time_base == Fraction(1, 720_000)
    assert times.apply(packet(101)) == Fraction(101, 1000)


def test_a_packet_slightly_too_early_is_moved_to_the_latest_time(caplog: pytest.LogCaptureFixture) -> None:
    times = PacketTimes("stream 1", strict=False)
    times.apply(packet(1000))
    moved = packet(500)  # exactly half a second back is no restart
    assert times.apply(moved) == 1
    assert shown(moved) == milliseconds(1000, 1000, 40)
    assert not caplog.messages


def test_fine_clocks_stay_fine() -> None:
    times = PacketTimes("stream 1", strict=True)
    base = Fraction(1, 1_440_000)
    for expected in (Fraction(0), Fraction(1, 16_000)):
        moved = packet(0, 1, duration=3, base=base)
        assert times.apply(moved) == expected
        assert moved.time_base == base
        assert shown(moved) == (expected, expected + base, 3 * base)


def test_a_packet_is_never_shown_before_it_is_decoded() -> None:
    times = PacketTimes("stream 1", strict=False)
    times.apply(packet(1000))
    early = packet(900, 850)
    times.apply(early)
    assert shown(early)[:2] == milliseconds(1000, 1000)


def test_a_packet_without_a_decoding_time_is_at_zero() -> None:
    times = PacketTimes("stream 1", strict=True)
    times.apply(packet(0))
    moved: av.Packet[Any] = av.Packet(1)
    moved.time_base = MILLISECOND
    moved.duration = 0
    assert times.apply(moved) == Fraction(1, 16_000)
    assert shown(moved) == (Fraction(1, 16_000), Fraction(1, 16_000), Fraction(0))


def test_a_clock_that_starts_anew_continues_after_the_last_packet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    times = PacketTimes("stream 1", strict=False)
    found = []
    for dts in (1000, 1400, 1800, 0, 400, 800, 0, 400):
        moved = packet(dts, duration=400)
        found.append(times.apply(moved))
        assert shown(moved) == (found[-1], found[-1], 400 * MILLISECOND)
    assert found == [1 + number * 400 * MILLISECOND for number in range(8)]
    assert caplog.messages == [
        "stream 1: its clock starts anew after 2.200 s; it continues there",
        "stream 1: its clock starts anew after 3.400 s; it continues there",
    ]


def test_the_end_is_that_of_the_longest_packet() -> None:
    """A long packet, such as a subtitle, may end after the last packet."""
    times = PacketTimes("stream 1", strict=False)
    times.apply(packet(1000, duration=5000))
    times.apply(packet(2000, duration=100))
    assert times.apply(packet(0)) == 6


def test_streams_keep_their_distance_from_the_main_stream_where_the_clock_starts_anew() -> None:
    """Sound that begins 20 ms after the pictures does so in each recording, whichever stream comes first."""
    for order in ("main first", "other first"):
        main = PacketTimes("stream 0", strict=False)
        other = PacketTimes("stream 1", strict=False, main=main)
        for dts in (1000, 1500):
            main.apply(packet(dts, duration=500))
            other.apply(packet(dts + 20, duration=300))
        found = {}
        for restart in (1, 2):
            if order == "main first":
                found["main"] = main.apply(packet(0, duration=1000))
                found["other"] = other.apply(packet(20, duration=300))
            else:
                found["other"] = other.apply(packet(20, duration=300))
                found["main"] = main.apply(packet(0, duration=1000))
            assert found == {"main": Fraction(1 + restart), "other": Fraction(1 + restart) + 20 * MILLISECOND}
            main.apply(packet(999, duration=0))
            other.apply(packet(1019, duration=0))


def test_without_packets_of_the_main_stream_a_stream_continues_after_itself() -> None:
    other = PacketTimes("stream 1", strict=False, main=PacketTimes("stream 0", strict=False))
    other.apply(packet(2000, duration=500))
    assert other.apply(packet(0)) == Fraction(5, 2)


def test_first_times_are_sorted_and_exact(tmp_path: Path) -> None:
    """Packets of reordered frames come in decoding order."""
    options = {"bf": "2", "g": "12"}
    path = videos.Clip(9, (32, 32), rate=Fraction(30000, 1001), options=options).write(tmp_path / "clip.mp4")
    times, tick = first_packet_times(path, 9)
    assert times == sorted(videos.times(path))
    assert len(times) == 9
    assert times[0] == 0
    assert all((time / tick).denominator == 1 for time in times)
    some, _ = first_packet_times(path, 4)
    assert len(some) == 4
    assert some == sorted(some)
    with av.open(str(path)) as container:
        assert tick == container.streams.video[0].time_base


def test_what_is_no_video_has_no_times(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(InputError, match="is not a video"):
        first_packet_times(path, 3)


@pytest.mark.parametrize(("container", "strict"), [("mp4", True), ("avi", True), ("matroska", False), ("webm", False)])
def test_formats_that_allow_no_equal_times(container: str, strict: bool) -> None:
    assert is_strict(container) is strict
