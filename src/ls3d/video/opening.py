"""Opening of files and pipes for decoding. Nothing else is read, whatever a file's name and content ask for.

FFmpeg takes names such as ``http:a.mkv`` or ``frame%d.png`` for addresses and patterns, and playlists make it open
other files. Here it gets a file descriptor instead of a name, and may use no other protocol.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av

from ls3d.errors import InputError
from ls3d.video.names import DEFAULT_MAX_PIXELS, check_file, is_image

#: FFmpeg's protocol that reads an open file descriptor, and the only one that is allowed.
_PROTOCOL = "fd"

_TOO_LARGE = re.compile(r"Picture size (\d+)x(\d+) (?:exceeds|is invalid)")


class OpenVideo(NamedTuple):
    """An open file or pipe, and its main video stream."""

    container: av.container.InputContainer
    stream: av.VideoStream


def open_container(path: str | os.PathLike[str], max_pixels: int = DEFAULT_MAX_PIXELS) -> av.container.InputContainer:
    """Open a file with FFmpeg.

    Args:
        path: the file.
        max_pixels: larger pictures are not decoded.

    Raises:
        OSError: the file doesn't exist or can't be read.
        InputError: it is not a file, or FFmpeg doesn't recognize it.
    """
    path = Path(path)
    check_file(path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return _open_descriptor(descriptor, max_pixels)
    except av.FFmpegError as error:
        kind = "an image" if is_image(path) else "a video"
        raise InputError(f"{path} is not {kind} that can be decoded ({error.strerror})") from error
    finally:
        os.close(descriptor)  # FFmpeg has duplicated it


class PipeReader:
    """Passes the bytes of a file to FFmpeg, which ignores the interruption of a ``read``: it becomes the end of file.

    Args:
        file: a binary file.

    Attributes:
        interrupted: whether Ctrl-C ended a ``read``.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.interrupted = False
        self._file = file

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes."""
        try:
            return b"" if self.interrupted else self._file.read(size)
        except KeyboardInterrupt:
            self.interrupted = True
            return b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def interruptible(file: BinaryIO) -> Iterator[PipeReader]:
    """Yield a reader for a file, and raise ``KeyboardInterrupt`` at the end of the block if it was interrupted."""
    reader = PipeReader(file)
    try:
        yield reader
    finally:
        if reader.interrupted:
            raise KeyboardInterrupt


@contextmanager
def open_video(path: str | os.PathLike[str], max_pixels: int = DEFAULT_MAX_PIXELS) -> Iterator[OpenVideo]:
    """Open a video or image for decoding.

    Args:
        path: the file.
        max_pixels: a file with larger pictures is refused before one is decoded.

    Raises:
        OSError: the file doesn't exist or can't be read.
        InputError: it is not a file, FFmpeg doesn't recognize it, it has no video stream, or its pictures are too
            large.
    """
    with open_container(path, max_pixels) as container:
        stream = main_video_stream(container, str(path))
        size = (stream.codec_context.width, stream.codec_context.height)
        _check_size(_refused_size(path, max_pixels) if 0 in size else size, str(path), max_pixels)
        yield OpenVideo(container, stream)


def open_pipe(file: PipeReader, name: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> OpenVideo:
    """Open a binary file that is read once, from its current position on.

    Args:
        file: reads it.
        name: for messages.
        max_pixels: as for ``open_video``.

    Raises:
        InputError: as for ``open_video``.
    """
    try:
        container = av.open(file, "r", metadata_errors="replace", options=_restrictions(max_pixels))
    except av.FFmpegError as error:
        raise InputError(f"{name} is not a video that can be decoded ({error.strerror})") from error
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


def _open_descriptor(descriptor: int, max_pixels: int) -> av.container.InputContainer:
    options = {"fd": str(descriptor), **_restrictions(max_pixels)}
    container: av.container.InputContainer = av.open(f"{_PROTOCOL}:", metadata_errors="replace", options=options)
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


def _refused_size(path: str | os.PathLike[str], max_pixels: int) -> tuple[int, int]:
    """Width and height of pictures that were refused for their size; zeros if that isn't why the size is unknown.

    FFmpeg forgets the size, but logs it.
    """
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as messages, open_container(path, max_pixels):
            pass
    finally:
        av.logging.set_level(level)
    found = (_TOO_LARGE.search(message) for _, _, message in messages)
    match = next(filter(None, found), None)
    return (0, 0) if match is None else (int(match[1]), int(match[2]))
