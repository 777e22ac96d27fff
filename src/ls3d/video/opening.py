"""Opening of files and pipes for decoding. Nothing else is read, whatever a file's name and content ask for.

FFmpeg takes names such as ``http:a.mkv`` or ``frame%d.png`` for addresses and patterns, and playlists make it open
other files. Here it gets a file descriptor instead of a name, and may use no other protocol.
"""

from __future__ import annotations

import io
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, NamedTuple

import av
from av.codec.hwaccel import HWAccel

from ls3d.errors import InputError
from ls3d.video.logs import logged
from ls3d.video.names import DEFAULT_MAX_PIXELS, check_file, is_image

#: FFmpeg's protocol that reads an open file descriptor, and the only one that is allowed.
_PROTOCOL = "fd"

_POLL = 0.1  # seconds between checks for signals

_TOO_LARGE = re.compile(r"Picture size (\d+)x(\d+) (?:exceeds|is invalid)")


class OpenVideo(NamedTuple):
    """An open file or pipe, and its main video stream."""

    container: av.container.InputContainer
    stream: av.VideoStream


def open_container(
    path: str | os.PathLike[str], max_pixels: int = DEFAULT_MAX_PIXELS, accelerator: HWAccel | None = None
) -> av.container.InputContainer:
    """Open a file with FFmpeg.

    Args:
        path: the file.
        max_pixels: larger pictures are not decoded.
        accelerator: device that decodes; None for software.

    Raises:
        OSError: the file doesn't exist or can't be read.
        InputError: it is not a file, or FFmpeg doesn't recognize it.
    """
    path = Path(path)
    check_file(path)
    try:
        return _open_path(path, max_pixels, accelerator)
    except av.FFmpegError as error:
        kind = "an image" if is_image(path) else "a video"
        reason = _reason(error, _refused_size(path, max_pixels))
        raise InputError(f"{path} is not {kind} that can be decoded ({reason})") from error


class PipeReader:
    """Passes the bytes of a file to FFmpeg, which ignores exceptions such as ``KeyboardInterrupt``.

    Args:
        file: a binary file.

    Attributes:
        signal: the signal that ended reading, if one did.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.signal: int | None = None
        self._file = file
        # Python handles a signal between two calls only. Other files may have bytes in a buffer.
        self._waits = isinstance(file, io.FileIO) and sys.platform != "win32"

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none after a signal."""
        while self.signal is None:
            if not self._waits or select.select([self._file], [], [], _POLL)[0]:
                data = self._file.read(size)
                return b"" if self.signal is not None else data
        return b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def interruptible(file: BinaryIO) -> Iterator[PipeReader]:
    """Yield a reader for a file. SIGINT and SIGTERM end the file, and are handled at the end of the block.

    Signals that are ignored, or that end the process without Python code, are left alone. So are all signals in other
    threads than the main one, which don't handle any.
    """
    reader = PipeReader(file)
    if threading.current_thread() is not threading.main_thread():
        yield reader
        return

    def record(number: int, _frame: FrameType | None) -> None:
        reader.signal = number

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    replaced = {number: handler for number, handler in before.items() if callable(handler)}
    for number in replaced:
        signal.signal(number, record)
    try:
        yield reader
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
        if reader.signal is not None:
            signal.raise_signal(reader.signal)


@contextmanager
def open_video(
    path: str | os.PathLike[str], max_pixels: int = DEFAULT_MAX_PIXELS, accelerator: HWAccel | None = None
) -> Iterator[OpenVideo]:
    """Open a video or image for decoding.

    Args:
        path: the file.
        max_pixels: a file with larger pictures is refused before one is decoded.
        accelerator: device that decodes; None for software.

    Raises:
        OSError: the file doesn't exist or can't be read.
        InputError: it is not a file, FFmpeg doesn't recognize it, it has no video stream, or its pictures are too
            large.
    """
    with open_container(path, max_pixels, accelerator) as container:
        stream = main_video_stream(container, str(path))
        size = (stream.codec_context.width, stream.codec_context.height)
        _check_size(_refused_size(Path(path), max_pixels) if 0 in size else size, str(path), max_pixels)
        with closing_decoder(stream):
            yield OpenVideo(container, stream)


@contextmanager
def closing_decoder(stream: av.VideoStream) -> Iterator[None]:
    """Wait until the threads of a decoder are idle at the end of the block.

    PyAV frees a decoder while it holds Python's global lock. A thread that is still decoding then, and has something to
    log, waits for that lock, and both wait forever.
    """
    try:
        yield
    finally:
        stream.codec_context.flush_buffers()


def open_pipe(file: PipeReader, name: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> OpenVideo:
    """Open a binary file that is read once, from its current position on.

    Args:
        file: reads it.
        name: for messages.
        max_pixels: as for ``open_video``.

    Raises:
        InputError: as for ``open_video``.
    """
    with logged(av.logging.ERROR) as messages:
        try:
            container = av.open(file, "r", metadata_errors="replace", options=_restrictions(max_pixels))
        except av.FFmpegError as error:
            reason = _reason(error, _size_in(messages()))
            raise InputError(f"{name} is not a video that can be decoded ({reason})") from error
    return checked_video(container, name, max_pixels)


def checked_video(container: av.container.InputContainer, name: str, max_pixels: int) -> OpenVideo:
    """The main video of an open container, whose decoders refuse larger pictures; an error closes the container.

    Raises:
        InputError: it has no video stream, or its pictures are too large.
    """
    try:
        _limit_decoders(container, max_pixels)
        stream = main_video_stream(container, name)
        _check_size((stream.codec_context.width, stream.codec_context.height), name, max_pixels)
    except BaseException:
        container.close()
        raise
    return OpenVideo(container, stream)


def main_video_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The video stream to process: the first that can be decoded and isn't a cover picture.

    Args:
        container: an open file.
        name: of the file, for messages.

    Raises:
        InputError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None:
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise InputError(f"{name} has no video stream that can be decoded (it holds {kinds})")


def _open_path(path: Path, max_pixels: int, accelerator: HWAccel | None = None) -> av.container.InputContainer:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return _open_descriptor(descriptor, max_pixels, accelerator)
    finally:
        os.close(descriptor)  # FFmpeg has duplicated it


def _open_descriptor(descriptor: int, max_pixels: int, accelerator: HWAccel | None) -> av.container.InputContainer:
    options = {"fd": str(descriptor), **_restrictions(max_pixels)}
    container: av.container.InputContainer = av.open(
        f"{_PROTOCOL}:", metadata_errors="replace", options=options, hwaccel=accelerator
    )
    _limit_decoders(container, max_pixels)
    return container


def _restrictions(max_pixels: int) -> dict[str, str]:
    """FFmpeg's options for opening: from what is opened, nothing else can be opened, and no large picture decoded."""
    return {"protocol_whitelist": _PROTOCOL, "max_pixels": str(max_pixels)}


def _limit_decoders(container: av.container.InputContainer, max_pixels: int) -> None:
    """Make the decoders refuse larger pictures, which may also come in the middle of a stream."""
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = {"max_pixels": str(max_pixels)}


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise InputError(f"{max_pixels}: {name} has pictures of {width} x {height} pixels", argument="max_pixels")


def _reason(error: av.FFmpegError, size: tuple[int, int]) -> str | None:
    """Why something can't be opened; the error's own text may be that of an unrelated error of the system."""
    return error.strerror if size == (0, 0) else f"its pictures would have {size[0]} x {size[1]} pixels"


def _refused_size(path: Path, max_pixels: int) -> tuple[int, int]:
    """Width and height of pictures that were refused for their size; zeros if that isn't why the size is unknown."""
    with logged(av.logging.ERROR) as messages, suppress(av.FFmpegError), _open_path(path, max_pixels):
        pass
    return _size_in(messages())


def _size_in(messages: Sequence[tuple[int, str, str]]) -> tuple[int, int]:
    """The size that FFmpeg has refused, according to what it logged: an error doesn't hold the size."""
    found = (_TOO_LARGE.search(message) for _, _, message in messages)
    match = next(filter(None, found), None)
    return (0, 0) if match is None else (int(match[1]), int(match[2]))
