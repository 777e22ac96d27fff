"""Audio, subtitles, attachments, chapters and metadata of the source, carried over to the output.

Streams are copied. Text subtitles that the output format can't hold are converted to its own text format; any other
stream that it can't hold is left out and reported.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

import av
from av.stream import Disposition
from av.subtitles.codeccontext import SubtitleCodecContext

from ls3d.video.metadata import current_metadata
from ls3d.video.packet_times import PacketTimes, is_strict
from ls3d.video.properties import StreamInfo, VideoInfo, stream_codec
from ls3d.video.trial import TriedPacket, keeps_stream

log = logging.getLogger(__name__)

#: FFmpeg's codec for text subtitles in each format.
_TEXT_CODECS = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip"}

#: Codecs of text subtitles that can be converted.
_TEXT_FORMATS = frozenset({"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"})

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


class OutputStream:
    """A stream of the output that is copied from the source.

    Args:
        stream: the stream of the output.
        strict: whether its format allows no equal times.
    """

    def __init__(self, stream: av.stream.Stream, strict: bool) -> None:
        self.stream = stream
        self.strict = strict

    def convert(self, source: av.Packet[Any]) -> list[av.Packet[Any]]:
        """The packets to write for a packet of the source."""
        source.stream = self.stream
        return [source]

    def rest(self) -> list[av.Packet[Any]]:
        """The packets that were held back, to be asked after the last one of the source."""
        return []


class ConvertedSubtitles(OutputStream):
    """Text subtitles in another format.

    ``mov_text`` shows one text at a time: of lines that overlap, the first ends where the second begins, and lines that
    begin together become one text.

    Args:
        stream: the stream of the output.
        decoder: decodes the source's subtitles.
        encoder: encodes them in the output's format.
    """

    def __init__(self, stream: av.stream.Stream, decoder: SubtitleCodecContext, encoder: SubtitleCodecContext) -> None:
        super().__init__(stream, strict=False)
        self._decoder = decoder
        self._encoder = encoder
        self._one_at_a_time = encoder.name == "mov_text"
        self._pending: av.Packet[Any] | None = None

    def convert(self, source: av.Packet[Any]) -> list[av.Packet[Any]]:
        """See ``OutputStream``."""
        subtitle = self._decoder.decode2(source)
        if subtitle is None:
            return []
        packet = self._encoder.encode_subtitle(subtitle)
        for name in ("pts", "dts", "duration", "time_base"):
            setattr(packet, name, getattr(source, name))
        packet.stream = self.stream
        if not self._one_at_a_time:
            return [packet]
        before, self._pending = self._pending, packet
        if before is None:
            return []
        if _begin(before) == _begin(packet):
            self._pending = _joined(before, packet)
            return []
        before.duration = min(int(before.duration or 0), round((_begin(packet) - _begin(before)) / before.time_base))
        return [before]

    def rest(self) -> list[av.Packet[Any]]:
        """See ``OutputStream``."""
        return [] if self._pending is None else [self._pending]


def _begin(packet: av.Packet[Any]) -> Fraction:
    return int(packet.pts or 0) * Fraction(packet.time_base)


def _joined(first: av.Packet[Any], second: av.Packet[Any]) -> av.Packet[Any]:
    """One text of two, without the styles; a sample of ``mov_text`` begins with the text's length in two bytes."""
    texts = []
    for packet in (first, second):
        data = bytes(packet)
        texts.append(data[2 : 2 + int.from_bytes(data[:2], "big")])
    text = b"\n".join(filter(None, texts))
    packet = av.Packet(len(text).to_bytes(2, "big") + text)
    for name in ("pts", "dts", "time_base", "stream"):
        setattr(packet, name, getattr(first, name))
    packet.duration = max(int(first.duration or 0), int(second.duration or 0))
    return packet


def add_streams(
    output: av.container.OutputContainer,
    source: av.container.InputContainer,
    info: VideoInfo,
    span: TimeRange,
    report: StreamReport,
    first: Mapping[int, Sequence[TriedPacket]],
) -> dict[int, OutputStream]:
    """Add every stream of the source except its main video stream to the output, where the format can hold it.

    Args:
        output: the file to write.
        source: the file to copy from.
        info: properties of the source.
        span: the part of the source that is wanted.
        report: gets an entry for every stream.
        first: the first packets of the streams, by index.

    Returns:
        The added streams whose packets are to be copied, by the index of the source's stream.
    """
    streams: dict[int, OutputStream] = {}
    for stream in source.streams:
        if stream.index == info.index:
            continue
        about = next(each for each in info.streams if each.index == stream.index)
        name = about.title
        packets = first.get(stream.index, ())
        if stream.disposition & Disposition.attached_pic and output.format.name == "matroska" and packets:
            _add_cover(output, stream, about, packets[0].data)
            report.kept.append(about)
            continue
        if stream.type == "data" and "timecode" in stream.metadata and output.format.name in ("mp4", "mov"):
            report.kept.append(about)  # FFmpeg's muxer writes it anew, from the metadata
        elif span.stretch != 1 and stream.type in ("audio", "subtitle", "data"):
            report.notes.append(f"{name} left out: it can't be slowed down with the video")
        elif _can_hold(output.format.name, stream, packets):
            streams[stream.index] = OutputStream(_add_copy(output, stream), is_strict(output.format.name))
            report.kept.append(about)
        elif isinstance(stream, av.subtitles.stream.SubtitleStream) and _is_convertible(about, output.format.name):
            streams[stream.index] = _add_converted(output, stream)
            report.kept.append(about)
            report.notes.append(f"{name} converted to {_TEXT_CODECS[output.format.name]}: styling may differ")
        else:
            report.notes.append(f"{name} left out: a {output.format.name} file can't hold it")
    return streams


def _add_cover(output: av.container.OutputContainer, stream: av.stream.Stream, about: StreamInfo, data: bytes) -> None:
    """Add a cover picture as an attachment, which is where Matroska has it."""
    kind = "jpeg" if about.codec == "mjpeg" else about.codec
    name = stream.metadata.get("filename") or f"cover.{'jpg' if kind == 'jpeg' else kind}"
    attachment = output.add_attachment(name, stream.metadata.get("mimetype") or f"image/{kind}", data)
    attachment.metadata.update({key: value for key, value in stream.metadata.items() if key != "mimetype"})


def _is_convertible(about: StreamInfo, container: str) -> bool:
    return about.codec in _TEXT_FORMATS and container in _TEXT_CODECS


def _add_converted(
    output: av.container.OutputContainer, stream: av.subtitles.stream.SubtitleStream
) -> ConvertedSubtitles:
    """Add text subtitles in the text format of the container."""
    decoder = stream.codec_context
    decoder.open(strict=False)
    added = output.add_stream(_TEXT_CODECS[output.format.name])
    encoder = cast(SubtitleCodecContext, added.codec_context)
    encoder.time_base = Fraction(1, 1000)
    encoder.subtitle_header = decoder.subtitle_header
    added.metadata.update(current_metadata(stream.metadata))
    added.disposition = stream.disposition
    return ConvertedSubtitles(added, decoder, encoder)


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


def _can_hold(container: str, stream: av.stream.Stream, packets: Sequence[TriedPacket]) -> bool:
    if stream.disposition & Disposition.attached_pic:
        return container == "mp4" and stream_codec(stream) in ("mjpeg", "png", "bmp")
    return keeps_stream(container, stream, _add_copy, packets)


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
    source: av.container.InputContainer, streams: Mapping[int, OutputStream], span: TimeRange, video: int
) -> Iterator[tuple[Fraction, av.Packet[Any]]]:
    """Read the packets of the added streams within the time range.

    Args:
        source: the file to copy from.
        streams: what ``add_streams`` returned.
        span: the part of the source that is wanted.
        video: index of the main video stream, whose clock the others follow.

    Yields:
        Decoding time in seconds of the output's clock, and the packet; in decoding order.
    """
    wanted = [source.streams[index] for index in streams if source.streams[index].type != "attachment"]
    if not wanted:
        return
    shift = Fraction(source.start_time or 0, 1_000_000) + span.start
    if span.start > 0:
        source.seek(int(shift * 1_000_000), backward=True)
    main = PacketTimes(f"stream {video}", strict=False)
    times = {index: PacketTimes(f"stream {index}", each.strict, main) for index, each in streams.items()}
    for packet in _demux(source, [*wanted, source.streams[video]]):
        time_base = Fraction(packet.time_base)
        if packet.stream.index == video:
            if packet.dts is not None:
                main.apply(packet)
            continue
        if not _move(packet, round(shift / time_base)) or not _is_within(packet, time_base, span):
            continue
        if packet.is_discard and not -_PREROLL <= int(packet.pts or 0) * time_base < 0:
            continue  # hidden by an edit list
        index = packet.stream.index
        decoded = times[index].apply(packet)
        yield from ((decoded, each) for each in streams[index].convert(packet))
    for each in streams.values():
        yield from ((_begin(packet), packet) for packet in each.rest())


def _move(packet: av.Packet[Any], ticks: int) -> bool:
    """Move a packet ``ticks`` earlier; False if it has no content or no timestamp."""
    if packet.size == 0 and packet.stream.type != "subtitle":
        return False
    decoded = packet.dts if packet.dts is not None else packet.pts
    if decoded is None and packet.stream.disposition & Disposition.attached_pic:
        packet.pts = packet.dts = 0
        return True
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
