"""Audio, subtitles, attachments, chapters and metadata of the source, carried over to the output.

Streams are copied. Text subtitles that the output format can't hold are converted to its own text format; any other
stream that it can't hold is left out and reported.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

import av
from av.subtitles.codeccontext import SubtitleCodecContext

from ls3d.video.properties import StreamInfo, VideoInfo

log = logging.getLogger(__name__)

#: FFmpeg's codec for text subtitles in each format.
_TEXT_CODECS = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip"}

#: Codecs of text subtitles that can be converted.
_TEXT_FORMATS = frozenset({"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"})

#: Metadata that describes the source's bytes rather than its content: prefixes of keys, and whole keys.
_STALE_PREFIXES = ("DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "BPS", "_STATISTICS", "encoder", "ENCODER")
_STALE_KEYS = frozenset({"major_brand", "minor_version", "compatible_brands", "alpha_mode", "ALPHA_MODE"})

#: Packets that a file hides before its beginning are kept if they start at most this many seconds before it: decoders
#: need them to decode the beginning. Apple's and FFmpeg's AAC encoders and Opus need less.
_PREROLL = Fraction(1, 10)


@dataclass(frozen=True)
class TimeRange:
    """The part of the source that the output shows, and at which speed.

    Attributes:
        start: time of the source, in seconds, that becomes zero.
        end: time of the source, in seconds, at which the output ends; None for the end of the source.
        stretch: duration of the output divided by that of the source. Streams with a clock of their own (audio,
            subtitles, data) are left out unless it is 1.
    """

    start: Fraction = Fraction(0)
    end: Fraction | None = None
    stretch: Fraction = Fraction(1)


@dataclass
class StreamReport:
    """Which of the source's other streams are in the output.

    Attributes:
        kept: streams that are in the output, copied or converted.
        notes: one sentence for each stream that was left out or changed.
    """

    kept: list[StreamInfo] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class OutputStream:
    """A stream of the output that is copied from the source or, if it has codecs, converted.

    Attributes:
        stream: the stream of the output.
        decoder: decodes the source's subtitles.
        encoder: encodes them in the output's format.
    """

    stream: av.stream.Stream
    decoder: SubtitleCodecContext | None = None
    encoder: SubtitleCodecContext | None = None

    def convert(self, source: av.Packet[Any]) -> av.Packet[Any] | None:
        """The packet to write for a packet of the source; None if there is nothing to show."""
        if self.decoder is None or self.encoder is None:
            source.stream = self.stream
            return source
        subtitle = self.decoder.decode2(source)
        if subtitle is None:
            return None
        packet = self.encoder.encode_subtitle(subtitle)
        packet.pts = source.pts
        packet.dts = source.dts
        packet.duration = source.duration
        packet.time_base = source.time_base
        packet.stream = self.stream
        return packet


def current_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata without the entries that describe the source's bytes (sizes, rates, encoder) or its alpha."""
    return {
        key: value for key, value in metadata.items() if not key.startswith(_STALE_PREFIXES) and key not in _STALE_KEYS
    }


def add_streams(
    output: av.container.OutputContainer,
    source: av.container.InputContainer,
    info: VideoInfo,
    span: TimeRange,
    report: StreamReport,
) -> dict[int, OutputStream]:
    """Add every stream of the source except its main video stream to the output, where the format can hold it.

    Args:
        output: the file to write.
        source: the file to copy from.
        info: properties of the source.
        span: the part of the source that is wanted.
        report: gets an entry for every stream.

    Returns:
        The added streams, by the index of the source's stream.
    """
    streams: dict[int, OutputStream] = {}
    for stream in source.streams:
        if stream.index == info.index:
            continue
        about = next(each for each in info.streams if each.index == stream.index)
        name = f"stream {stream.index} ({about.type}{', ' + about.codec if about.codec else ''})"
        if span.stretch != 1 and stream.type in ("audio", "subtitle", "data"):
            report.notes.append(f"{name} left out: it can't be slowed down with the video")
        elif _can_hold(output.format.name, stream):
            streams[stream.index] = OutputStream(_add_copy(output, stream))
            report.kept.append(about)
        elif isinstance(stream, av.subtitles.stream.SubtitleStream) and _is_convertible(about, output.format.name):
            streams[stream.index] = _add_converted(output, stream)
            report.kept.append(about)
            report.notes.append(f"{name} converted to {_TEXT_CODECS[output.format.name]}: styling may differ")
        else:
            report.notes.append(f"{name} left out: a {output.format.name} file can't hold it")
    return streams


def _is_convertible(about: StreamInfo, container: str) -> bool:
    return about.codec in _TEXT_FORMATS and container in _TEXT_CODECS


def _add_converted(output: av.container.OutputContainer, stream: av.subtitles.stream.SubtitleStream) -> OutputStream:
    """Add text subtitles in the text format of the container."""
    decoder = stream.codec_context
    decoder.open(strict=False)
    added = output.add_stream(_TEXT_CODECS[output.format.name])
    encoder = cast(SubtitleCodecContext, added.codec_context)
    encoder.time_base = Fraction(1, 1000)
    encoder.subtitle_header = decoder.subtitle_header
    added.metadata.update(current_metadata(stream.metadata))
    added.disposition = stream.disposition
    return OutputStream(added, decoder, encoder)


def _add_copy(output: av.container.OutputContainer, stream: av.stream.Stream) -> av.stream.Stream:
    if isinstance(stream, av.stream.AttachmentStream):
        name = stream.metadata.get("filename") or f"attachment-{stream.index}"
        attachment = output.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
        attachment.metadata.update(stream.metadata)
        return attachment
    copy = output.add_stream_from_template(stream, opaque=True)
    copy.metadata.update(current_metadata(stream.metadata))
    copy.disposition = stream.disposition
    return copy


def _can_hold(container: str, stream: av.stream.Stream) -> bool:
    """Whether a format can hold a stream, found by writing a file header with it to memory."""
    level = av.logging.get_level()
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
        av.logging.set_level(level)


def add_chapters(output: av.container.OutputContainer, info: VideoInfo, span: TimeRange) -> None:
    """Add the source's chapters to the output, moved and clipped to the time range."""
    chapters: list[Any] = []
    for chapter in info.chapters:
        time_base = Fraction(chapter["time_base"] or 1)
        first = chapter["start"] * time_base - info.start - span.start
        last = chapter["end"] * time_base - info.start - span.start
        if last <= 0 or (span.end is not None and first >= span.end - span.start):
            continue
        if span.end is not None:
            last = min(last, span.end - span.start)
        start, end = (int(max(time, Fraction(0)) * span.stretch / time_base) for time in (first, last))
        chapters.append({**chapter, "start": start, "end": end})
    if chapters:
        output.set_chapters(chapters)


def other_packets(
    source: av.container.InputContainer, streams: Mapping[int, OutputStream], span: TimeRange
) -> Iterator[tuple[Fraction, av.Packet[Any]]]:
    """Read the packets of the added streams within the time range.

    Args:
        source: the file to copy from.
        streams: what ``add_streams`` returned.
        span: the part of the source that is wanted.

    Yields:
        Decoding time in seconds of the output's clock, and the packet; in decoding order.
    """
    wanted = [source.streams[index] for index in streams if source.streams[index].type != "attachment"]
    if not wanted:
        return
    shift = Fraction(source.start_time or 0, 1_000_000) + span.start
    if span.start > 0:
        source.seek(int(shift * 1_000_000), backward=True)
    latest: dict[int, int] = {}  # the last decoding time of each stream, in ticks
    for packet in _demux(source, wanted):
        time_base = Fraction(packet.time_base)
        if not _move(packet, round(shift / time_base)) or not _is_within(packet, time_base, span):
            continue
        if packet.is_discard and not -_PREROLL <= int(packet.pts or 0) * time_base < 0:
            continue  # hidden by an edit list
        index = packet.stream.index
        decoded = int(packet.dts or 0)
        if index in latest and decoded <= latest[index]:
            time = float(decoded * time_base)
            log.warning("stream %d: a packet at %.3f s left out, since it is out of order", index, time)
            continue
        latest[index] = decoded
        converted = streams[index].convert(packet)
        if converted is not None:
            yield decoded * time_base, converted


def _move(packet: av.Packet[Any], ticks: int) -> bool:
    """Move a packet ``ticks`` earlier; False if it has no content or no timestamp."""
    if packet.size == 0 and packet.stream.type != "subtitle":
        return False
    decoded = packet.dts if packet.dts is not None else packet.pts
    if decoded is None:
        return False
    shown = packet.pts if packet.pts is not None else decoded
    packet.pts = shown - ticks
    packet.dts = decoded - ticks
    return True


def _is_within(packet: av.Packet[Any], time_base: Fraction, span: TimeRange) -> bool:
    """Whether a moved packet begins within the time range.

    Negative times are kept if the range begins at the source's beginning: audio encoders' priming samples have them.
    """
    begin = int(packet.pts or 0)
    if span.start > 0 and begin < 0:
        return False
    return span.end is None or begin * time_base < span.end - span.start


def _demux(source: av.container.InputContainer, wanted: Sequence[av.stream.Stream]) -> Iterator[av.Packet[Any]]:
    try:
        yield from source.demux(*wanted)
    except av.FFmpegError as error:
        log.warning("copying the other streams ends early (%s)", error.strerror)
