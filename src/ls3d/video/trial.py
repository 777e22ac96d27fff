"""What a container keeps, found out before the work: a tiny file is written to memory and read back.

FFmpeg's tables say too little: muxers accept codecs that they then fail to write, or write them as private data that
nothing can read, and drop metadata, chapters and display matrices without a word.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from ls3d.video.decoding import first_pictures
from ls3d.video.logs import quiet
from ls3d.video.metadata import current_metadata
from ls3d.video.properties import UNSPECIFIED_TAGS, VideoInfo, describe, stream_codec
from ls3d.video.settings import EncoderSettings

log = logging.getLogger(__name__)

#: FFmpeg's display matrix that changes nothing.
UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)

#: Keys of metadata that name the program that wrote the source.
_WRITER_KEYS = frozenset({"handler_name", "vendor_id", "HANDLER_NAME", "VENDOR_ID"})

#: Numbers of H.273 that stand for the same as another: BT.470 BG and BT.601 as matrix, the transfers of BT.709.
_EQUIVALENT = {5: (6,), 6: (5, 1), 1: (6,), 14: (1,), 15: (1,)}

#: MPEG audio: which of the three it is, FFmpeg finds out when it decodes.
_LAYERS = {"mp1": "mp3", "mp2": "mp3"}

#: Packets of the source that are read to find the first ones of its streams.
_SEARCHED_PACKETS = 5000

#: Packets of a stream that are written for a trial.
_TRIED_PACKETS = 3


@dataclass(frozen=True)
class TriedPacket:
    """A packet that can be written any number of times.

    Attributes:
        data: its bytes.
        pts: presentation time in ticks, from 0 on.
        dts: decoding time in ticks.
        duration: in ticks.
        time_base: seconds per tick.
        is_keyframe: whether decoding can begin here.
    """

    data: bytes
    pts: int
    dts: int
    duration: int
    time_base: Fraction
    is_keyframe: bool

    def packet(self, stream: av.stream.Stream) -> av.Packet[Any]:
        """A packet for a stream of an output."""
        packet: av.Packet[Any] = av.Packet(self.data)
        packet.pts, packet.dts = self.pts, self.dts
        packet.duration = self.duration
        packet.time_base = self.time_base
        packet.is_keyframe = self.is_keyframe
        packet.stream = stream
        return packet


def first_packets(source: av.container.InputContainer, indices: Sequence[int]) -> dict[int, list[TriedPacket]]:
    """The first packets of streams, by the stream's index; the source is left somewhere else.

    Args:
        source: an open file.
        indices: of streams that have packets. Streams whose packets come late are missing in the result.
    """
    found: dict[int, list[TriedPacket]] = {index: [] for index in indices}
    if not indices:
        return found
    try:
        for number, packet in enumerate(source.demux(*(source.streams[index] for index in indices))):
            packets = found[packet.stream.index]
            if packet.size and len(packets) < _TRIED_PACKETS:
                packets.append(_tried(packet, packets))
            if number >= _SEARCHED_PACKETS or all(len(each) >= _TRIED_PACKETS for each in found.values()):
                break
    except av.FFmpegError as error:
        log.debug("looking for the first packets: %s", error)
    return found


def _tried(packet: av.Packet[Any], before: Sequence[TriedPacket]) -> TriedPacket:
    time_base = Fraction(packet.time_base or Fraction(1, 1000))
    duration = max(1, int(packet.duration or 0))
    time = before[-1].dts + before[-1].duration if before else 0
    return TriedPacket(bytes(packet), time, time, duration, time_base, bool(packet.is_keyframe))


def keeps_stream(
    container: str,
    stream: av.stream.Stream,
    add: Callable[[av.container.OutputContainer, av.stream.Stream], av.stream.Stream],
    packets: Sequence[TriedPacket],
) -> bool:
    """Whether a format can hold a copy of a stream, such that it is read back as what it is.

    Args:
        container: FFmpeg's name of the format.
        stream: of the source.
        add: adds a copy of the stream to an output and returns it.
        packets: the stream's first packets. Without any, only the file header is tried.
    """
    file = io.BytesIO()
    try:
        with quiet():
            with av.open(file, "w", format=container) as output:
                copy = add(output, stream)
                output.start_encoding()
                for packet in packets:
                    output.mux_one(packet.packet(copy))
            if stream.type == "attachment":
                return container == "matroska"  # WebM's muxer drops them
            return _is_in(file, stream, container, bool(packets))
    except (av.FFmpegError, ValueError, NotImplementedError) as error:
        log.debug("stream %d in %s: %s", stream.index, container, error)
        return False


def _is_in(file: io.BytesIO, stream: av.stream.Stream, container: str, has_packets: bool) -> bool:
    """Whether a stream can be found in a file in memory."""
    try:
        with _open(file, container) as written:
            return any(_is_same(each, stream) for each in written.streams)
    except (av.FFmpegError, ValueError):
        return not has_packets and container != "mpegts"  # FFmpeg reads no files without packets


def _is_same(written: av.stream.Stream, stream: av.stream.Stream) -> bool:
    codecs = [_LAYERS.get(name, name) for name in (stream_codec(written), stream_codec(stream))]
    return written.type == stream.type and codecs[0] == codecs[1]


def _open(file: io.BytesIO, container: str) -> av.container.InputContainer:
    """Open a file in memory; one of MPEG-TS is too short to be recognized."""
    file.seek(0)
    return av.open(file, "r", format="mpegts" if container == "mpegts" else None)


def read_back(file: io.BytesIO, container_name: str) -> VideoInfo | None:
    """The properties of a file in memory; None if it can't be read.

    Args:
        file: its content.
        container_name: FFmpeg's name of the format.
    """
    try:
        with quiet(), _open(file, container_name) as container:
            stream = next(
                each for each in container.streams.video if not each.disposition & av.stream.Disposition.attached_pic
            )
            return describe(container, stream, first_pictures(container, stream, "trial").pictures[0], "trial")
    except (av.FFmpegError, StopIteration, ValueError) as error:
        log.debug("reading a trial file back: %s", error)
        return None


def lost_properties(container: str, settings: EncoderSettings, info: VideoInfo, written: VideoInfo | None) -> list[str]:
    """Sentences about the properties of a source that a file written with them doesn't have.

    Args:
        container: FFmpeg's name of the format.
        settings: of the encoder.
        info: properties of the source.
        written: properties of the trial file; None if it can't be read, which happens with very few frames.
    """
    if written is None:
        return []
    notes = []
    ratio = settings.sample_aspect_ratio
    if ratio not in (1, written.sample_aspect_ratio):
        notes.append(f"sample aspect ratio {ratio} left out: {settings.codec} in a {container} file can't hold it")
    if info.display_matrix not in (None, UPRIGHT, written.display_matrix):
        notes.append(f"{orientation(info)} left out: a {container} file can't hold it")
    wanted = {key: value for key, value in settings.tags.items() if value != UNSPECIFIED_TAGS[key]}
    lost = [key for key, value in wanted.items() if written.tags[key] not in (value, *_EQUIVALENT.get(value, ()))]
    if lost:
        notes.append(f"color tags left out: {settings.codec} in a {container} file can't hold {', '.join(lost)}")
    if settings.alpha and not written.alpha:
        notes.append(f"transparency left out: {settings.codec} in a {container} file can't hold it")
    if info.chapters and not written.chapters:
        notes.append(f"chapters left out: a {container} file can't hold them")
    lost = _lost_keys(info.metadata, written.metadata) + _lost_keys(info.stream_metadata, written.stream_metadata)
    if lost:
        notes.append(f"metadata left out: a {container} file can't hold {', '.join(lost)}")
    return notes


def orientation(info: VideoInfo) -> str:
    """How a video is rotated or mirrored for display, for messages."""
    assert info.display_matrix is not None
    matrix = info.display_matrix
    mirrored = matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0
    return "mirroring and rotation" if mirrored else f"rotation by {info.rotation} degrees"


def _lost_keys(wanted: Mapping[str, str], written: Mapping[str, str]) -> list[str]:
    """Keys whose values are missing; formats have their own names for some keys."""
    kept = set(written.values())
    meaningful = {key: value for key, value in wanted.items() if key not in _WRITER_KEYS and value != "und"}
    return [key for key, value in current_metadata(meaningful).items() if value not in kept]
