"""Decoding of packets, up to the first pictures of a stream."""

from __future__ import annotations

from typing import NamedTuple

import av
from av.video.codeccontext import VideoCodecContext

from ls3d.errors import InputError


class FirstPictures(NamedTuple):
    """The first pictures of a stream.

    Attributes:
        pictures: those decoded from the first packet that yields any; several if the decoder held them back.
        undecodable_packets: packets before it that could not be decoded.
        decoding_times: of the packets that were decoded, in ticks.
    """

    pictures: list[av.VideoFrame]
    undecodable_packets: int
    decoding_times: list[int]


def first_pictures(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    name: str,
    decoder: VideoCodecContext | None = None,
) -> FirstPictures:
    """Decode packets until one yields a picture; the container is left at the packet after it.

    Args:
        container: an open file.
        stream: its video stream.
        name: of the file, for messages.
        decoder: is used instead of the stream's own.

    Raises:
        InputError: no frame can be decoded.
    """
    undecodable = 0
    decoding_times = []
    try:
        for packet in container.demux(stream):
            try:
                pictures = decode_packet(packet, decoder)
            except av.FFmpegError:
                undecodable += 1
                continue
            if packet.dts is not None:
                decoding_times.append(packet.dts)
            if pictures:
                return FirstPictures(pictures, undecodable, decoding_times)
    except av.FFmpegError as error:
        raise InputError(f"{name}: no frame can be decoded ({error.strerror})") from error
    raise InputError(f"{name}: no frame can be decoded")


def decode_packet(packet: av.Packet[av.VideoStream], decoder: VideoCodecContext | None) -> list[av.VideoFrame]:
    """Decode a packet, or drain the decoder with an empty one.

    Args:
        packet: of a video stream.
        decoder: is used instead of the stream's own.
    """
    if decoder is None:
        return packet.decode()
    return decoder.decode(packet if packet.size else None)
