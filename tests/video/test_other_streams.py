"""Audio, subtitles, attachments, chapters and metadata of the source, as FFmpeg reads them from the output."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.encoding import rewrite
from helpers.videos import Clip, decode

from ls3d.video import TimeRange, probe
from ls3d.video.metadata import current_metadata

PacketTable = list[tuple[int, Fraction, Fraction, bytes]]


def packets(path: Path, kind: str) -> PacketTable:
    """Packets of the streams of a kind: stream, time and duration in seconds, bytes."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        table = []
        for packet in container.demux(*streams):
            if packet.size and packet.pts is not None and packet.time_base is not None:
                time, duration = packet.pts * packet.time_base, (packet.duration or 0) * packet.time_base
                table.append((packet.stream.index, time, duration, bytes(packet)))
    return table


def without_durations(table: PacketTable) -> list[tuple[int, Fraction, bytes]]:
    """FFmpeg's reader of Matroska infers the duration of the first audio packet, not always alike."""
    return [(stream, time, content) for stream, time, _, content in table]


def chapters(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    """Start and end in seconds, and title."""
    with av.open(str(path)) as container:
        found: list[Any] = list(container.chapters())
    table = []
    for each in found:
        start, end = (each[key] * Fraction(each["time_base"]) for key in ("start", "end"))
        table.append((start, end, each["metadata"]["title"]))
    return table


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A Matroska file with everything in it, two seconds long."""
    clip = Clip(
        50,
        audio=["eng", "deu"],
        subtitles=[(200, 900, "one <i>it</i>"), (1000, 1500, "two")],
        attachment=b"not really a font",
        chapters=[(0, 1000, "first"), (1000, 2000, "second")],
        metadata={"title": "A title"},
    )
    return clip.write(tmp_path / "full.mkv")


def test_everything_that_the_format_holds_is_copied(full: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    report = rewrite(full, target, "ffv1")
    assert report.notes == []
    assert [stream.type for stream in report.kept] == ["audio", "audio", "subtitle", "attachment"]
    for kind in ("audio", "subtitle"):
        assert without_durations(packets(target, kind)) == without_durations(packets(full, kind)) != []
    assert chapters(target) == chapters(full)
    with av.open(str(full)) as old, av.open(str(target)) as new:
        assert [stream.type for stream in new.streams] == [stream.type for stream in old.streams]
        assert [stream.metadata["language"] for stream in new.streams.audio] == ["eng", "deu"]
        assert new.streams.attachments[0].data == b"not really a font"
        assert new.streams.attachments[0].metadata == old.streams.attachments[0].metadata
        assert new.metadata["title"] == "A title"


def test_streams_that_the_format_cannot_hold_are_reported(full: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    report = rewrite(full, target, "h264")
    assert report.notes == [
        "stream 3 (subtitle, subrip) converted to mov_text: styling may differ",
        "stream 4 (attachment) left out: a mp4 file can't hold it",
    ]
    assert [stream.type for stream in report.kept] == ["audio", "audio", "subtitle"]
    assert [stream.type for stream in probe(target).streams if stream.type != "data"] == [
        "video",
        "audio",
        "audio",
        "subtitle",
    ]


@pytest.mark.parametrize(
    ("suffix", "codec", "first", "second"),
    [
        ("mp4", "mov_text", b"one it", b"two"),
        ("mov", "mov_text", b"one it", b"two"),
        ("webm", "webvtt", b"one <i>it</i>", b"two"),
    ],
)
def test_text_subtitles_are_converted(
    full: Path, tmp_path: Path, suffix: str, codec: str, first: bytes, second: bytes
) -> None:
    target = tmp_path / f"out.{suffix}"
    report = rewrite(full, target)
    assert f"stream 3 (subtitle, subrip) converted to {codec}: styling may differ" in report.notes
    shown = {
        text: (time, duration)
        for _, time, duration, content in packets(target, "subtitle")
        for text in (first, second)
        if text in content
    }
    assert shown == {
        first: (Fraction(1, 5), Fraction(7, 10)),
        second: (Fraction(1), Fraction(1, 2)),
    }


def test_audio_that_webm_cannot_hold_is_left_out(full: Path, tmp_path: Path) -> None:
    report = rewrite(full, tmp_path / "out.webm", "vp9")
    assert "stream 1 (audio, aac) left out: a webm file can't hold it" in report.notes


def test_only_the_wanted_part_is_copied(full: Path, tmp_path: Path) -> None:
    start, end = Fraction(12, 25), Fraction(36, 25)
    target = tmp_path / "out.mkv"
    rewrite(full, target, "ffv1", span=TimeRange(start, end))
    assert len(decode(target)) == 24
    tick = Fraction(1, 1000)
    old, new = packets(full, "audio"), packets(target, "audio")
    wanted = [packet for packet in old if start <= packet[1] < end]
    assert [packet[3] for packet in new] == [packet[3] for packet in wanted]
    for before, after in zip(wanted, new, strict=True):
        assert abs(before[1] - start - after[1]) <= tick
    assert [(time, content) for _, time, _, content in packets(target, "subtitle")] == [(1 - start, b"two")]
    assert chapters(target) == [(Fraction(0), 1 - start, "first"), (1 - start, end - start, "second")]


def test_chapters_outside_the_wanted_part_are_left_out(full: Path, tmp_path: Path) -> None:
    rewrite(full, tmp_path / "a.mkv", "ffv1", span=TimeRange(Fraction(30, 25)))
    assert [title for _, _, title in chapters(tmp_path / "a.mkv")] == ["second"]
    rewrite(full, tmp_path / "b.mkv", "ffv1", span=TimeRange(Fraction(0), Fraction(20, 25)))
    assert chapters(tmp_path / "b.mkv") == [(Fraction(0), Fraction(20, 25), "first")]


def test_slow_motion_stretches_chapters_and_leaves_out_streams_with_a_clock(full: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    report = rewrite(full, target, "ffv1", span=TimeRange(stretch=Fraction(2)))
    assert report.notes == [
        "stream 1 (audio, aac) left out: it can't be slowed down with the video",
        "stream 2 (audio, aac) left out: it can't be slowed down with the video",
        "stream 3 (subtitle, subrip) left out: it can't be slowed down with the video",
    ]
    assert [stream.type for stream in report.kept] == ["attachment"]
    assert chapters(target) == [(Fraction(0), Fraction(2), "first"), (Fraction(2), Fraction(4), "second")]


def test_times_of_a_file_whose_clock_starts_late(tmp_path: Path) -> None:
    clip = Clip(25, audio=["eng"], audio_codec="mp2", container_options={"output_ts_offset": "3"})
    source = clip.write(tmp_path / "in.ts")
    rewrite(source, tmp_path / "out.mkv", "ffv1")
    old, new = packets(source, "audio"), packets(tmp_path / "out.mkv", "audio")
    shift = probe(source).start
    assert shift > 2
    assert [content for *_, content in new] == [content for *_, content in old]
    for before, after in zip(old, new, strict=True):
        assert abs(before[1] - shift - after[1]) <= Fraction(1, 1000)


def test_streams_continue_where_their_clock_starts_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two recordings, one after the other in one file: the clock jumps back in the middle."""
    clip = Clip(30, options={"crf": "20", "bf": "0"}, audio=["eng"], audio_codec="mp2")
    parts = [clip.write(tmp_path / f"{number}.ts").read_bytes() for number in range(2)]
    (tmp_path / "in.ts").write_bytes(b"".join(parts))
    rewrite(tmp_path / "in.ts", tmp_path / "out.mkv", "ffv1")
    assert "stream 1: its clock starts anew" in caplog.text
    copied, original = (packets(tmp_path / name, "audio") for name in ("out.mkv", "0.ts"))
    assert [content for *_, content in copied] == 2 * [content for *_, content in original]
    times = [time for _, time, _, _ in copied]
    assert times == sorted(times)
    assert abs(times[len(original)] - times[0] - Fraction(30, 25)) < Fraction(1, 10)


@pytest.mark.parametrize("suffix", ["mkv", "mov"])
def test_packets_that_share_a_tick_are_all_copied(tmp_path: Path, suffix: str) -> None:
    """Packets of 0.83 ms in Matroska, whose tick is 1 ms, as TrueHD's."""
    clip = Clip(10).write(tmp_path / "video.mkv")
    with av.open(str(clip)) as source, av.open(str(tmp_path / "in.mkv"), "w") as output:
        video = output.add_stream_from_template(source.streams[0])
        audio = output.add_stream("pcm_s16le", rate=48000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 40), np.int16), format="s16", layout="mono")
        samples.sample_rate = 48000
        output.start_encoding()
        for packet in source.demux(source.streams[0]):
            if packet.size:
                packet.stream = video
                output.mux(packet)
        for n in range(40):
            samples.pts = 40 * n
            samples.time_base = Fraction(1, 48000)
            output.mux(audio.encode(samples))
    target = tmp_path / f"out.{suffix}"
    rewrite(tmp_path / "in.mkv", target, "h264")
    old, new = packets(tmp_path / "in.mkv", "audio"), packets(target, "audio")
    assert len({time for _, time, _, _ in old}) < len(old)
    assert b"".join(content for *_, content in new) == b"".join(content for *_, content in old)


def test_lines_that_overlap_begin_at_their_own_times(tmp_path: Path) -> None:
    lines = [(100, 3000, "a long sign"), (1000, 1800, "meanwhile"), (2000, 2800, "together"), (2000, 2600, "with this")]
    source = Clip(100, subtitles=lines).write(tmp_path / "in.mkv")
    rewrite(source, tmp_path / "out.mp4")
    shown = {content[2:]: time for _, time, _, content in packets(tmp_path / "out.mp4", "subtitle") if len(content) > 2}
    assert shown == {b"a long sign": Fraction(1, 10), b"meanwhile": 1, b"together\nwith this": 2}


def test_a_cover_stays_a_cover(tmp_path: Path) -> None:
    clip = Clip(2).write(tmp_path / "video.mkv")
    jpeg = cover()
    with av.open(str(clip)) as source, av.open(str(tmp_path / "in.mkv"), "w") as output:
        video = output.add_stream_from_template(source.streams[0])
        output.add_attachment("cover.jpg", "image/jpeg", jpeg)
        for packet in source.demux(source.streams[0]):
            if packet.size:
                packet.stream = video
                output.mux(packet)
    for suffix in ("mkv", "mp4"):
        rewrite(tmp_path / "in.mkv", tmp_path / f"out.{suffix}")
        with av.open(str(tmp_path / f"out.{suffix}")) as container:
            covers = [each for each in container.streams.video if each.disposition & av.stream.Disposition.attached_pic]
            assert len(covers) == len(container.streams.video) - 1 == 1
            assert [bytes(packet) for packet in container.demux(covers) if packet.size] == [jpeg]
    report = rewrite(tmp_path / "in.mkv", tmp_path / "out.mov")
    assert report.notes == ["stream 1 (video, mjpeg) left out: a mov file can't hold it"]


def cover() -> bytes:
    """A JPEG image."""
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = 32, 24, "yuvj420p"
    context.time_base = Fraction(1, 25)
    picture = av.VideoFrame(32, 24, "yuvj420p")
    return b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])


@pytest.mark.parametrize("codec", ["flac", "pcm_s16le"])
def test_streams_that_mpegts_would_make_unreadable_are_left_out(tmp_path: Path, codec: str) -> None:
    source = Clip(5, audio=["eng"], audio_codec=codec, subtitles=[(0, 100, "line")]).write(tmp_path / "in.mkv")
    report = rewrite(source, tmp_path / "out.ts")
    assert [note.split(":")[0] for note in report.notes][:2] == [
        f"stream 1 (audio, {codec}) left out",
        "stream 2 (subtitle, subrip) left out",
    ]
    assert report.kept == []


def test_metadata_about_the_bytes_of_the_source_is_left_out() -> None:
    metadata = {"title": "A title", "language": "eng", "BPS-eng": "1000", "DURATION": "1", "major_brand": "isom"}
    metadata |= {"ENCODER": "x", "encoder": "y", "NUMBER_OF_FRAMES": "3", "_STATISTICS_TAGS": "z"}
    assert current_metadata(metadata) == {"title": "A title", "language": "eng"}


def test_dispositions_are_copied(full: Path, tmp_path: Path) -> None:
    with av.open(str(full)) as source, av.open(str(tmp_path / "in.mkv"), "w") as output:
        wanted = list(source.streams)[:3]
        streams = {stream.index: output.add_stream_from_template(stream) for stream in wanted}
        streams[2].disposition = av.stream.Disposition.comment
        for packet in source.demux(*wanted):
            if packet.size:
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    rewrite(tmp_path / "in.mkv", tmp_path / "out.mkv", "ffv1")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.audio[1].disposition & av.stream.Disposition.comment
        assert not container.streams.audio[0].disposition & av.stream.Disposition.comment


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_what_an_edit_list_hides_stays_hidden(tmp_path: Path, suffix: str) -> None:
    """A cut that was made without encoding: one second of audio comes before the first frame that is shown."""
    clip = Clip(50, audio=["eng"], options={"crf": "20", "bf": "0"}, container_options={"movflags": "+faststart"})
    whole = clip.write(tmp_path / "whole.mp4")
    with av.open(str(whole)) as source, av.open(str(tmp_path / "in.mp4"), "w") as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None and packet.pts is not None:
                shift = round(1 / Fraction(packet.time_base))
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    rewrite(tmp_path / "in.mp4", tmp_path / f"out.{suffix}", "h264")
    begins = {}
    for kind in ("video", "audio"):
        begins[kind] = packets(tmp_path / f"out.{suffix}", kind)[0][1]
    assert abs(begins["audio"] - begins["video"]) < Fraction(1, 8)
