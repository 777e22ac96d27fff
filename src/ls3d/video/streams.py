"""Streams: cameras, network addresses and pipes, as frames at a fixed rate.

Nothing is read from a network or a device unless its name says so: a scheme of ``PROTOCOLS`` before ``://``, a camera
of Linux, or a kind of ``CAMERAS`` before a colon. FFmpeg may then use the protocols of that scheme and no other.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import av
import numpy as np
import numpy.typing as npt

from ls3d.errors import InputError
from ls3d.video.names import DEFAULT_MAX_PIXELS
from ls3d.video.opening import OpenVideo, checked_video, closing_decoder, interruptible, open_pipe
from ls3d.video.timed_frames import frame_interval, regular_frames

#: FFmpeg's protocols that an address may use, by its scheme.
PROTOCOLS = {
    "http": ("http", "tcp"),
    "https": ("https", "tls", "tcp"),
    "rtmp": ("rtmp", "tcp"),
    "rtp": ("rtp", "udp"),
    "rtsp": ("rtsp", "rtp", "udp", "tcp"),
    "tcp": ("tcp",),
    "udp": ("udp",),
}

#: Schemes of which a receiver that is too slow can't slow down the sender.
_LIVE_SCHEMES = ("rtmp", "rtp", "rtsp", "udp")

#: FFmpeg's formats that are cameras, of Linux, macOS and Windows.
CAMERAS = ("v4l2", "avfoundation", "dshow")

_LINUX_CAMERA = re.compile(r"/dev/video\d+$")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")

_PATIENCE = 10.0  # seconds to wait for a connection, and for data
_LONGEST_GAP = 10.0  # seconds between two frames; a longer step, or one back, is that of a clock that was set


class StreamAddress(NamedTuple):
    """What FFmpeg opens.

    Attributes:
        name: of the device or address.
        format: FFmpeg's name of the format; None to recognize it.
        protocols: that may be used.
        live: whether frames are lost if they are not read in time.
    """

    name: str
    format: str | None
    protocols: tuple[str, ...]
    live: bool

    @property
    def title(self) -> str:
        """The name without a user's name and password, to be shown."""
        return re.sub(r"//[^/?#]*@", "//", self.name)


def stream_address(name: str) -> StreamAddress | None:
    """What a name stands for: a camera or an address; None for any other name, such as that of a file.

    Args:
        name: ``"/dev/video0"``, ``"v4l2:/dev/video0"``, ``"avfoundation:0"``, ``"dshow:video=Camera"``,
            ``"rtsp://camera/1"``, ...

    Raises:
        InputError: it is an address with another scheme.
    """
    if Path(name).is_file():
        return None
    if _LINUX_CAMERA.match(name):
        return StreamAddress(name, "v4l2", (), live=True)
    kind, _, device = name.partition(":")
    if kind in CAMERAS and device:
        return StreamAddress(device, kind, (), live=True)
    match = _SCHEME.match(name)
    if match is None:
        return None
    scheme = match[1].lower()
    if scheme not in PROTOCOLS:
        raise InputError(f"{scheme}: expected one of the schemes {', '.join(PROTOCOLS)}")
    return StreamAddress(name, None, PROTOCOLS[scheme], scheme in _LIVE_SCHEMES)


def read_stream_regularly(
    source: StreamAddress | BinaryIO, rate: float, short_side: int | None = None
) -> Iterator[npt.NDArray[np.uint8]]:
    """Decode a stream and yield the frames that are nearest to the times ``(k + 0.5) / rate``.

    Time begins with the first frame. Frames that can't be decoded are left out: a stream that was joined in its middle
    begins with some.

    Args:
        source: what ``stream_address`` returns, or a binary file that is read once.
        rate: frames per second.
        short_side: as for ``ls3d.video.read_frames_at``.

    Yields:
        ``(H, W, 3)`` RGB, rotated for display.

    Raises:
        InputError: it can't be opened, is not a video, or sends nothing for 10 seconds.
    """
    if isinstance(source, StreamAddress):
        video = _open_address(source)
        yield from _read(video, rate, short_side, source.title)
        return
    name = "standard input"
    with interruptible(source) as reader:
        yield from _read(open_pipe(reader, name), rate, short_side, name)


def _open_address(address: StreamAddress) -> OpenVideo:
    options = {"protocol_whitelist": ",".join(address.protocols), "max_pixels": str(DEFAULT_MAX_PIXELS)}
    if address.protocols == PROTOCOLS["udp"]:
        options["overrun_nonfatal"] = "1"  # a slow receiver loses packets, not the stream
    try:
        container = av.open(
            address.name, format=address.format, metadata_errors="replace", options=options, timeout=_PATIENCE
        )
    except (av.FFmpegError, ValueError) as error:  # a ValueError for a format that FFmpeg doesn't have here
        reason = error.strerror if isinstance(error, av.FFmpegError) else f"no {address.format} on {sys.platform}"
        raise InputError(f"{address.title} can't be opened ({reason})") from error
    return checked_video(container, address.title, DEFAULT_MAX_PIXELS)


def _read(video: OpenVideo, rate: float, short_side: int | None, name: str) -> Iterator[npt.NDArray[np.uint8]]:
    with video.container, closing_decoder(video.stream):
        yield from regular_frames(_continuous_pictures(video), rate, frame_interval(video), short_side, name)


def _continuous_pictures(video: OpenVideo) -> Iterator[tuple[float, av.VideoFrame]]:
    """Decoded pictures with their times in seconds, from 0 on, without the jumps of a clock that was set."""
    step = frame_interval(video)
    previous = -step
    shift: float | None = None
    for picture in _decodable_pictures(video):
        time = previous + step
        if picture.time is not None:
            if shift is None or not 0 <= picture.time + shift - previous <= _LONGEST_GAP:
                shift = time - picture.time
            time = picture.time + shift
        previous = time
        yield time, picture


def _decodable_pictures(video: OpenVideo) -> Iterator[av.VideoFrame]:
    for packet in video.container.demux(video.stream):
        try:
            pictures = packet.decode()
        except av.InvalidDataError:
            continue
        yield from pictures
