"""Encoding and writing of test videos with ``ls3d.video``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av

from ls3d.video import (
    EncodedSegment,
    Encoder,
    EncoderSettings,
    Packet,
    StreamReport,
    TimeRange,
    VideoFile,
    choose_settings,
    container_notes,
    container_of,
    reorder_depth,
    write_container,
)


def encode(settings: EncoderSettings, pictures: Sequence[av.VideoFrame], pts: Sequence[int]) -> list[Packet]:
    """Encode pictures with a new encoder."""
    encoder = Encoder(settings)
    packets = [packet for picture, time in zip(pictures, pts, strict=True) for packet in encoder.encode(picture, time)]
    return packets + encoder.flush()


def segment_of(packets: Sequence[Packet], end: int) -> EncodedSegment:
    """Packets in decoding order as a segment that ends at ``end`` ticks."""
    times = [packet.pts for packet in packets]
    return EncodedSegment(lambda: packets, lambda: times, reorder_depth(times), end)


def settings_for(
    source: Path, target: Path, codec: str | None = None, crf: int | None = None, threads: int = 1
) -> EncoderSettings:
    """Settings for an output of the source's size and timing."""
    info = VideoFile(source).info
    return choose_settings(
        info,
        container_of(target),
        size=(info.height, info.width),
        time_base=info.time_base,
        rate=info.rate,
        codec=codec,
        crf=crf,
        threads=threads,
    )


def rewrite(
    source: Path,
    target: Path,
    codec: str | None = None,
    crf: int | None = None,
    span: TimeRange | None = None,
    segment_frames: int = 1000,
) -> StreamReport:
    """Decode a video, encode it again in segments, and write it with its other streams."""
    span = span or TimeRange()
    video = VideoFile(source)
    settings = settings_for(source, target, codec, crf)
    frames = [frame for frame in video.frames(start=span.start) if span.end is None or frame.time < span.end]
    ticks = [round((frame.time - span.start) * span.stretch / settings.time_base) for frame in frames]
    end = ticks[-1] + round(frames[-1].duration * span.stretch / settings.time_base)
    segments = []
    for first in range(0, len(frames), segment_frames):
        part = slice(first, first + segment_frames)
        packets = encode(settings, [frame.picture for frame in frames[part]], ticks[part])
        segments.append(segment_of(packets, [*ticks, end][min(first + segment_frames, len(frames))]))
    container = container_of(target)
    report = write_container(target, container, settings, segments, video.info, source, span)
    report.notes = container_notes(container, settings, video.info, source, span)
    return report
