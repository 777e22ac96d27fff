"""Finished packets into a file, with everything else that the source's file holds.

Packets come in pieces, each encoded on its own. Decoding times are made anew over all of them, so that pieces
join without a seam whatever the encoder's delay. All other streams, chapters, attachments and metadata are
copied; what the output format can't hold is named, never dropped in silence.
"""

from __future__ import annotations

import io
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
from av.subtitles.codeccontext import SubtitleCodecContext

from ls3d.video.encoder import CODECS, EncoderSettings, Packet
from ls3d.video.pixels import FULL_RANGE
from ls3d.video.probe import StreamInfo, VideoInfo, open_container

log = logging.getLogger(__name__)

_STALE = ("DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "BPS", "_STATISTICS", "encoder", "ENCODER")
#: How a format writes text subtitles, where it can't take those of others.
_TEXT_CODECS = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip"}
_TEXT_FORMATS = frozenset({"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"})
_CONTAINER_WORDS = ("major_brand", "minor_version", "compatible_brands")


@dataclass(frozen=True)
class EncodedSegment:
    """Packets of consecutive frames.

    Attributes:
        read: gives the packets in decoding order.
        times: gives their times in decoding order; both are called when the piece's turn comes, so that only one
            piece is in memory.
        delay: by how many places a packet is decoded later than it is shown, at most.
        end: the time, in ticks, at which the next piece begins or the video ends.
    """

    read: Callable[[], Iterable[Packet]]
    times: Callable[[], Sequence[int]]
    delay: int
    end: int


@dataclass(frozen=True)
class TimedPacket:
    """A packet with its place in the file: decoding time and duration, in ticks."""

    packet: Packet
    dts: int
    duration: int


@dataclass(frozen=True)
class TimeRange:
    """The part of the source's clock that the output shows.

    Attributes:
        start: the source's time that becomes zero.
        end: where to stop copying; None for the source's end.
        stretch: how much longer the output takes; other streams can't follow unless it is 1.
    """

    start: Fraction = Fraction(0)
    end: Fraction | None = None
    stretch: Fraction = Fraction(1)


@dataclass(frozen=True)
class _Copy:
    """An output stream, and the pair of codecs through which its packets go if they can't be copied."""

    stream: av.stream.Stream
    decoder: SubtitleCodecContext | None = None
    encoder: SubtitleCodecContext | None = None

    def packet(self, source: av.Packet) -> av.Packet | None:
        """The packet for the output; None where there is nothing to show."""
        if self.decoder is None or self.encoder is None:
            source.stream = self.stream
            return source
        subtitle = self.decoder.decode2(source)
        if subtitle is None:
            return None
        packet = self.encoder.encode_subtitle(subtitle)
        packet.pts, packet.dts, packet.duration = source.pts, source.dts, source.duration
        packet.time_base, packet.stream = source.time_base, self.stream
        return packet


@dataclass
class StreamReport:
    """What became of the other streams.

    Attributes:
        kept: streams that are in the output.
        notes: sentences on what is not, and why, and on what had to change.
    """

    kept: list[StreamInfo] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def in_decoding_order(pieces: Sequence[EncodedSegment]) -> Iterator[TimedPacket]:
    """All packets with decoding times that always increase and never come after their presentation times.

    The i-th packet is decoded when the (i - delay)-th frame is shown, where the delay is the deepest
    reordering of any piece.
    """
    delay = max((piece.delay for piece in pieces), default=0)
    shown: deque[int] = deque()
    for piece in pieces:
        times = sorted(piece.times())
        if not times:
            continue
        if not shown:
            step = max(1, (times[1] if len(times) > 1 else piece.end) - times[0])
            shown.extend(times[0] - step * n for n in range(delay, 0, -1))
        shown.extend(times)
        durations = dict(zip(times, (b - a for a, b in zip(times, [*times[1:], piece.end], strict=True)), strict=True))
        for packet in piece.read():
            yield TimedPacket(packet, shown.popleft(), max(1, durations[packet.pts]))


def reorder_depth(pts: Sequence[int]) -> int:
    """By how many places a packet is decoded later than it is shown, at most, given times in decoding order."""
    place = {time: index for index, time in enumerate(sorted(pts))}
    return max((index - place[time] for index, time in enumerate(pts)), default=0)


def write_container(
    target: Path,
    container: str,
    settings: EncoderSettings,
    pieces: Sequence[EncodedSegment],
    info: VideoInfo,
    source: Path | None,
    span: TimeRange,
) -> StreamReport:
    """Write a video file: the packets, and the other streams of ``source`` (None: there are none)."""
    scale = settings.time_base.denominator
    options = {"movflags": "+faststart", "movie_timescale": str(scale)} if container in ("mp4", "mov") else {}
    inputs = None if source is None else open_container(source)
    try:
        with av.open(
            str(target), "w", format=container, options={"fflags": "+bitexact"}, container_options=options
        ) as output:
            video = _add_video(output, container, settings, info)
            copied, others = StreamReport(notes=_shape_notes(container, settings)), _nothing()
            output.metadata.update(_fresh(info.metadata))
            if inputs is not None:
                streams = _add_others(output, inputs, info, span, copied)
                others = _other_packets(inputs, streams, span)
            _add_chapters(output, info, span)
            _interleave(output, _packets(in_decoding_order(pieces), video, settings.time_base), others)
        return copied
    finally:
        if inputs is not None:
            inputs.close()


def _shape_notes(container: str, settings: EncoderSettings) -> list[str]:
    """PyAV tells Matroska's muxer no sample aspect ratio, so only codecs that carry it themselves keep it there."""
    silent = container in ("matroska", "webm") and settings.codec in ("vp9", "av1", "ffv1")
    if settings.sample_aspect_ratio == 1 or not silent:
        return []
    ratio = settings.sample_aspect_ratio
    return [f"sample aspect ratio {ratio} is lost: {settings.codec} in {container} has no place for it"]


def _add_video(
    output: av.container.OutputContainer, container: str, settings: EncoderSettings, info: VideoInfo
) -> av.VideoStream:
    options = dict(settings.options)
    stream = cast(
        av.VideoStream,
        output.add_stream(CODECS[settings.codec].encoder, rate=settings.rate, options=options),
    )
    settings.apply(stream.codec_context)
    stream.time_base = settings.time_base
    if settings.codec == "hevc" and container in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"  # the only tag that Apple's players open
    if info.rotation:
        stream.set_display_rotation(info.rotation)
    stream.metadata.update(_fresh(info.stream_metadata))
    return stream


def _nothing() -> Iterator[tuple[Fraction, av.Packet]]:
    yield from ()


def _fresh(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata without what described the source's bytes."""
    return {key: value for key, value in metadata.items() if not key.startswith(_STALE) and key not in _CONTAINER_WORDS}


def _add_others(
    output: av.container.OutputContainer,
    inputs: av.container.InputContainer,
    info: VideoInfo,
    span: TimeRange,
    copied: StreamReport,
) -> dict[int, _Copy]:
    """Add every other stream that the format takes: copies by the index of their sources."""
    streams: dict[int, _Copy] = {}
    for stream in inputs.streams:
        if stream.index == info.index:
            continue
        about = next(each for each in info.streams if each.index == stream.index)
        name = f"stream {stream.index} ({about.type}{', ' + about.codec if about.codec else ''})"
        if span.stretch != 1 and stream.type in ("audio", "subtitle", "data"):
            copied.notes.append(f"{name} left out: it can't follow the slower video")
        elif _fits(stream, output.format.name):
            streams[stream.index] = _Copy(_add_copy(output, stream))
            copied.kept.append(about)
        elif isinstance(stream, av.subtitles.stream.SubtitleStream) and _has_text(about, output):
            streams[stream.index] = _add_converted(output, stream)
            copied.kept.append(about)
            copied.notes.append(f"{name} became {_TEXT_CODECS[output.format.name]}: styling may differ")
        else:
            copied.notes.append(f"{name} left out: a {output.format.name} file can't hold it")
    return streams


def _has_text(about: StreamInfo, output: av.container.OutputContainer) -> bool:
    return about.codec in _TEXT_FORMATS and output.format.name in _TEXT_CODECS


def _add_converted(output: av.container.OutputContainer, stream: av.subtitles.stream.SubtitleStream) -> _Copy:
    """Add text subtitles in the format's own way of writing them."""
    decoder = stream.codec_context
    decoder.open(strict=False)
    added = output.add_stream(_TEXT_CODECS[output.format.name])
    encoder = cast(SubtitleCodecContext, added.codec_context)
    encoder.time_base, encoder.subtitle_header = Fraction(1, 1000), decoder.subtitle_header
    added.metadata.update(_fresh(stream.metadata))
    added.disposition = stream.disposition
    return _Copy(added, decoder, encoder)


def _add_copy(output: av.container.OutputContainer, stream: av.stream.Stream) -> av.stream.Stream:
    if isinstance(stream, av.stream.AttachmentStream):
        name = stream.metadata.get("filename") or f"attachment-{stream.index}"
        added = output.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
        added.metadata.update(stream.metadata)
        return added
    copy = output.add_stream_from_template(stream, opaque=True)
    copy.metadata.update(_fresh(stream.metadata))
    copy.disposition = stream.disposition
    return copy


def _fits(stream: av.stream.Stream, container: str) -> bool:
    """Whether a format takes a stream, by the word of its muxer: a header is written to nowhere."""
    quiet = av.logging.get_level()
    av.logging.set_level(None)
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            _add_copy(trial, stream)
            trial.start_encoding()
        return True
    except (av.FFmpegError, ValueError, NotImplementedError) as error:
        log.debug("stream %d in %s: %s", stream.index, container, error)
        return False
    finally:
        av.logging.set_level(quiet)


def _add_chapters(output: av.container.OutputContainer, info: VideoInfo, span: TimeRange) -> None:
    chapters: list[Any] = []
    for chapter in info.chapters:
        base = Fraction(chapter["time_base"] or 1)
        first, last = (chapter[key] * base - info.start - span.start for key in ("start", "end"))
        if last <= 0 or (span.end is not None and first >= span.end - span.start):
            continue
        if span.end is not None:
            last = min(last, span.end - span.start)
        ticks = [int(max(time, Fraction(0)) * span.stretch / base) for time in (first, last)]
        chapters.append({**chapter, "start": ticks[0], "end": ticks[1]})
    if chapters:
        output.set_chapters(chapters)


def _packets(
    timed: Iterable[TimedPacket], stream: av.VideoStream, time_base: Fraction
) -> Iterator[tuple[Fraction, av.Packet]]:
    for each in timed:
        packet = av.Packet(each.packet.data)
        packet.pts, packet.dts, packet.duration = each.packet.pts, each.dts, each.duration
        packet.time_base, packet.is_keyframe, packet.stream = time_base, each.packet.key, stream
        yield each.dts * time_base, packet


def _other_packets(
    inputs: av.container.InputContainer, streams: Mapping[int, _Copy], span: TimeRange
) -> Iterator[tuple[Fraction, av.Packet]]:
    """Packets of the copied streams within the span, on the output's clock, in decoding order."""
    wanted = [inputs.streams[index] for index in streams if inputs.streams[index].type != "attachment"]
    if not wanted:
        return
    shift = Fraction(inputs.start_time or 0, 1_000_000) + span.start
    if span.start > 0:
        inputs.seek(int(shift * 1_000_000), backward=True)
    latest: dict[int, int] = {}
    for packet in _demux(inputs, wanted):
        base = Fraction(packet.time_base)
        moved = round(shift / base)
        decode = packet.dts if packet.dts is not None else packet.pts
        if decode is None or (packet.size == 0 and packet.stream.type != "subtitle"):
            continue
        shown = packet.pts if packet.pts is not None else decode
        if span.start > 0 and shown < moved:
            continue  # begins before the part that is wanted
        if span.end is not None and (shown - moved) * base >= span.end - span.start:
            continue
        index, time = packet.stream.index, decode - moved
        if time <= latest.get(index, time - 1):
            log.warning("stream %d: a packet out of order at %.3f s left out", index, float(time * base))
            continue
        latest[index] = time
        packet.pts, packet.dts = shown - moved, time
        ready = streams[index].packet(packet)
        if ready is not None:
            yield time * base, ready


def _demux(inputs: av.container.InputContainer, wanted: Sequence[av.stream.Stream]) -> Iterator[av.Packet]:
    try:
        yield from inputs.demux(*wanted)
    except av.FFmpegError as error:
        log.warning("copying the other streams ends early (%s)", error.strerror)


def _interleave(
    output: av.container.OutputContainer,
    video: Iterator[tuple[Fraction, av.Packet]],
    others: Iterator[tuple[Fraction, av.Packet]],
) -> None:
    waiting = next(others, None)
    for time, packet in video:
        while waiting is not None and waiting[0] <= time:
            output.mux_one(waiting[1])
            waiting = next(others, None)
        output.mux_one(packet)
    while waiting is not None:
        output.mux_one(waiting[1])
        waiting = next(others, None)


def y4m_header(settings: EncoderSettings) -> bytes:
    """The line that begins a YUV4MPEG2 stream."""
    layout, rate, shape = settings.color.layout, settings.rate, settings.sample_aspect_ratio
    base = {(1, 1): "420", (1, 0): "422", (0, 0): "444", (2, 0): "411"}.get(layout.subsampling, "420")
    if layout.family == "gray":
        base = "mono"
    deep = layout.depth > 8
    if not deep and base == "420":
        base += "mpeg2" if settings.color.cosited[0] else "jpeg"
    suffix = (str(layout.depth) if base == "mono" else f"p{layout.depth}") if deep else ""
    span = "FULL" if settings.tags.get("color_range") == FULL_RANGE else "LIMITED"
    words = (
        f"YUV4MPEG2 W{settings.width} H{settings.height} F{rate.numerator}:{rate.denominator} Ip "
        f"A{shape.numerator}:{shape.denominator} C{base}{suffix} XCOLORRANGE={span}\n"
    )
    return words.encode()


def write_y4m(file: BinaryIO, packets: Iterable[Packet]) -> None:
    """Write frames, after the header, to a binary file."""
    for packet in packets:
        file.write(b"FRAME\n")
        file.write(packet.data)


def write_images(folder: Path, packets: Iterable[Packet], digits: int = 6) -> None:
    """Write one PNG file per packet into a new folder: ``000001.png`` and so on."""
    folder.mkdir()
    for number, packet in enumerate(packets, 1):
        (folder / f"{number:0{digits}}.png").write_bytes(packet.data)
