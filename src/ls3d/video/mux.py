"""Writing of a video file from encoded segments and the source's other streams.

Segments are encoded independently. Decoding times are computed over all of them, so that they can be joined whatever
the encoder's delay.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.stream import Disposition

from ls3d.errors import InputError
from ls3d.video.alpha import packet_of
from ls3d.video.codecs import codec_of, family_of
from ls3d.video.encoder import Packet
from ls3d.video.encoder_trial import try_encoder
from ls3d.video.logs import quiet
from ls3d.video.metadata import current_metadata
from ls3d.video.opening import open_container
from ls3d.video.other_streams import (
    ConvertedSubtitles,
    StreamReport,
    TimeRange,
    add_chapters,
    add_streams,
    other_packets,
)
from ls3d.video.properties import VideoInfo
from ls3d.video.scheduling import unchanged_scheduling
from ls3d.video.settings import EncoderSettings, pixel_notes
from ls3d.video.trial import (
    UPRIGHT,
    TriedPacket,
    first_packets,
    lost_properties,
    orientation,
    read_back,
)

#: Metadata keys of QuickTime, which its files hold in a place of their own.
_QUICKTIME_KEYS = "com.apple.quicktime."


@dataclass(frozen=True)
class EncodedSegment:
    """Packets of consecutive frames, read when they are needed, so that only one segment is in memory.

    Attributes:
        read: returns the packets in decoding order.
        times: returns their presentation times in ticks, in decoding order.
        delay: maximum reordering depth, in packets; see ``reorder_depth``.
        end: time in ticks at which the next segment begins or the video ends.
    """

    read: Callable[[], Iterable[Packet]]
    times: Callable[[], Sequence[int]]
    delay: int
    end: int


@dataclass(frozen=True)
class TimedPacket:
    """A packet with its decoding time and its duration, in ticks."""

    packet: Packet
    dts: int
    duration: int


def in_decoding_order(segments: Sequence[EncodedSegment]) -> Iterator[TimedPacket]:
    """All packets with decoding times that strictly increase and are never later than the presentation times.

    The i-th packet is decoded when the (i - delay)-th frame is shown, where the delay is the largest of any segment.
    """
    delay = max((segment.delay for segment in segments), default=0)
    decoding_times: deque[int] = deque()
    for segment in segments:
        times = sorted(segment.times())
        if not times:
            continue
        following = [*times[1:], segment.end]
        if not decoding_times:
            step = max(1, following[0] - times[0])
            decoding_times.extend(times[0] - step * n for n in range(delay, 0, -1))
        decoding_times.extend(times)
        durations = {time: after - time for time, after in zip(times, following, strict=True)}
        for packet in segment.read():
            yield TimedPacket(packet, decoding_times.popleft(), max(1, durations[packet.pts]))


def reorder_depth(pts: Sequence[int]) -> int:
    """Maximum reordering depth: by how many places a packet comes later in decoding order than in presentation order.

    Args:
        pts: presentation times in decoding order.
    """
    place = {time: index for index, time in enumerate(sorted(pts))}
    return max((index - place[time] for index, time in enumerate(pts)), default=0)


def write_container(
    target: Path,
    container: str,
    settings: EncoderSettings,
    segments: Sequence[EncodedSegment],
    info: VideoInfo,
    source: Path | None,
    span: TimeRange,
) -> StreamReport:
    """Write a video file.

    Args:
        target: the file to write.
        container: FFmpeg's name of its format.
        settings: those with which the segments were encoded.
        segments: the video, in order.
        info: properties of the source.
        source: the file whose other streams are copied; None to copy none.
        span: the part of the source that the segments show.

    Returns:
        Which of the other streams are in the file.
    """
    inputs = None if source is None else open_container(source)
    report = StreamReport()
    try:
        with av.open(
            f"file:{target}",
            "w",
            format=container,
            options={"fflags": "+bitexact"},
            container_options=_container_options(container, settings, info),
        ) as output:
            video = _add_video(output, container, settings, info)
            output.metadata.update(current_metadata(info.metadata))
            others: Iterator[tuple[Fraction, av.Packet[Any]]] = iter(())
            if inputs is not None and source is not None:
                streams = add_streams(output, inputs, info, span, report, _first_packets(source, info))
                others = other_packets(inputs, streams, span, info.index)
            add_chapters(output, info, span)
            _start(output)
            _interleave(output, _video_packets(in_decoding_order(segments), video, settings), others)
        return report
    finally:
        if inputs is not None:
            inputs.close()


def container_notes(
    container: str, settings: EncoderSettings, info: VideoInfo, source: Path | None, span: TimeRange
) -> list[str]:
    """What ``write_container`` will leave out or change, with the same arguments.

    A file of a few frames is written to memory and read back.

    Raises:
        InputError: the encoder doesn't work with these settings, or the format can't hold its video.
    """
    report = StreamReport()
    packets = try_encoder(settings)
    file = io.BytesIO()
    options = _container_options(container, settings, info, in_memory=True)
    try:
        with quiet(), av.open(file, "w", format=container, container_options=options) as output:
            video = _add_video(output, container, settings, info)
            output.metadata.update(current_metadata(info.metadata))
            others: list[av.Packet[Any]] = []
            if source is not None:
                others = _try_streams(output, source, info, span, report)
            add_chapters(output, info, span)
            _start(output)
            segment = EncodedSegment(lambda: packets, lambda: [each.pts for each in packets], 2, len(packets))
            for _, packet in _video_packets(in_decoding_order([segment]), video, settings):
                output.mux_one(packet)
            for packet in others:
                output.mux_one(packet)
    except av.FFmpegError as error:
        reason = error.strerror
        raise InputError(f"a {container} file can't hold this video with {settings.codec} ({reason})") from error
    return (
        report.notes
        + pixel_notes(info, settings)
        + lost_properties(container, settings, info, read_back(file, container))
    )


def plain_notes(container: str, info: VideoInfo) -> list[str]:
    """What a y4m file or a folder of images leaves out, which hold nothing but pictures.

    Args:
        container: ``"y4m"`` or ``"images"``.
        info: properties of the source.
    """
    place = "a y4m file" if container == "y4m" else "a folder of images"
    lost = [each.title for each in info.streams if each.index != info.index]
    if info.display_matrix not in (None, UPRIGHT):
        lost.append(orientation(info))
    if info.chapters:
        lost.append("chapters")
    if current_metadata(info.metadata):
        lost.append("metadata")
    return [f"{each} left out: {place} can't hold {'it' if ' ' in each else 'them'}" for each in lost]


def _try_streams(
    output: av.container.OutputContainer, source: Path, info: VideoInfo, span: TimeRange, report: StreamReport
) -> list[av.Packet[Any]]:
    """Add the source's other streams to a file for a trial, and return the first packets of those that are copied."""
    first = _first_packets(source, info)
    with open_container(source) as inputs:
        streams = add_streams(output, inputs, info, span, report, first)
    copied = {index: each.stream for index, each in streams.items() if not isinstance(each, ConvertedSubtitles)}
    return [packet.packet(stream) for index, stream in copied.items() for packet in first.get(index, ())]


def _first_packets(source: Path, info: VideoInfo) -> dict[int, list[TriedPacket]]:
    indices = [each.index for each in info.streams if each.index != info.index and each.type != "attachment"]
    with open_container(source) as inputs:
        return first_packets(inputs, indices)


def _container_options(
    container: str, settings: EncoderSettings, info: VideoInfo, in_memory: bool = False
) -> dict[str, str]:
    """Options for FFmpeg's muxer. It can't move the header of a file in memory to the front."""
    if container not in ("mp4", "mov"):
        return {}
    has_quicktime_keys = any(key.startswith(_QUICKTIME_KEYS) for key in info.metadata)
    flags = "" if in_memory else "+faststart"
    flags += "+use_metadata_tags" if has_quicktime_keys else ""
    scale = {"movie_timescale": str(settings.time_base.denominator)}
    return {"movflags": flags, **scale} if flags else scale


def _add_video(
    output: av.container.OutputContainer, container: str, settings: EncoderSettings, info: VideoInfo
) -> av.VideoStream:
    options = settings.encoder_options()
    encoder = codec_of(settings.codec).encoder
    stream = cast(av.VideoStream, output.add_stream(encoder, rate=settings.rate, options=options))
    settings.apply(stream.codec_context)
    stream.time_base = settings.time_base
    if family_of(settings.codec) == "hevc" and container in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"  # Apple's players open no other
    if info.display_matrix is not None:
        stream.set_display_matrix(info.display_matrix)
    stream.disposition = Disposition(info.disposition)
    stream.metadata.update(current_metadata(info.stream_metadata))
    if settings.layered:
        stream.metadata["alpha_mode"] = "1"
    return stream


def _start(output: av.container.OutputContainer) -> None:
    """Write the header of a file, for which the encoders are opened."""
    with unchanged_scheduling():
        output.start_encoding()


def _video_packets(
    timed: Iterable[TimedPacket], stream: av.VideoStream, settings: EncoderSettings
) -> Iterator[tuple[Fraction, av.Packet[Any]]]:
    """The packets to write, each with its decoding time in seconds."""
    for each in timed:
        packet = packet_of(each.packet.data, settings.layered)
        packet.pts = each.packet.pts
        packet.dts = each.dts
        packet.duration = each.duration
        packet.time_base = settings.time_base
        packet.is_keyframe = each.packet.key
        packet.stream = stream
        yield each.dts * settings.time_base, packet


def _interleave(
    output: av.container.OutputContainer,
    video: Iterator[tuple[Fraction, av.Packet[Any]]],
    others: Iterator[tuple[Fraction, av.Packet[Any]]],
) -> None:
    """Write packets in the order of their decoding times."""
    waiting = next(others, None)
    for time, packet in video:
        while waiting is not None and waiting[0] <= time:
            output.mux_one(waiting[1])
            waiting = next(others, None)
        output.mux_one(packet)
    while waiting is not None:
        output.mux_one(waiting[1])
        waiting = next(others, None)
