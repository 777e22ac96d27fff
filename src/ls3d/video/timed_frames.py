"""Frames of a video file at given times or at a fixed rate, as arrays of 8-bit RGB.

Recognition reads clips this way: only the part of a file that is needed is decoded. Frames are rotated as the file
says.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence

import av
import numpy as np
import numpy.typing as npt

from ls3d.errors import InputError
from ls3d.video.opening import OpenVideo, open_video

log = logging.getLogger(__name__)

_MICROSECOND = 1e-6
_FALLBACK_RATE = 25.0  # frames per second, for a stream that states no rate


def read_duration(path: str | os.PathLike[str]) -> float:
    """Read the duration of a video in seconds; nothing is decoded.

    Raises:
        OSError: the file can't be read.
        InputError: it is not a video, or has no frames.
    """
    with open_video(path) as video:
        stated = video.stream.duration
        if stated and video.stream.time_base:
            return float(stated * video.stream.time_base)
        if video.container.duration:
            return video.container.duration * _MICROSECOND
        return _duration_of_packets(video, os.fspath(path))


def read_frames_at(
    path: str | os.PathLike[str], times: Sequence[float], short_side: int | None = None
) -> npt.NDArray[np.uint8]:
    """Decode the frames that are nearest in time to ``times``.

    Args:
        path: a video file.
        times: in seconds from the start of the file, in increasing order; times before the first frame or after the
            last one stand for these.
        short_side: larger frames are scaled down (area average) so that their shorter side has this many pixels.

    Returns:
        ``(len(times), H, W, 3)`` RGB, rotated for display.

    Raises:
        OSError: the file can't be read.
        InputError: it is not a video, or a frame of the part that is needed can't be decoded.
    """
    try:
        frames = _read_nearest(path, times, short_side, seek=times[0] > 0)
        if frames is None:  # the seek ended after the first time
            frames = _read_nearest(path, times, short_side, seek=False)
    except av.FFmpegError as error:
        raise InputError(f"{os.fspath(path)} can't be decoded ({error.strerror})") from error
    if frames is None:
        raise InputError(f"{os.fspath(path)} has no frame that can be decoded")
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(f"{os.fspath(path)} has frames of different sizes")
    return np.stack(frames)


def read_frames_regularly(
    path: str | os.PathLike[str], rate: float, short_side: int | None = None
) -> Iterator[npt.NDArray[np.uint8]]:
    """Decode a whole file once and yield the frames that are nearest to the times ``(k + 0.5) / rate``.

    Memory does not depend on the length of the file.

    Args:
        path: a video file.
        rate: frames per second.
        short_side: as for ``read_frames_at``.

    Yields:
        ``(H, W, 3)`` RGB, rotated for display; the last one is at most half an interval after the end of the file.

    Raises:
        OSError: the file can't be read.
        InputError: it is not a video, or a frame of it can't be decoded.
    """
    with open_video(path) as video:
        video.stream.thread_type = "AUTO"
        yield from regular_frames(_timed_pictures(video), rate, frame_interval(video), short_side, os.fspath(path))


def regular_frames(
    pictures: Iterable[tuple[float, av.VideoFrame]], rate: float, interval: float, short_side: int | None, name: str
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the frames that are nearest to the times ``(k + 0.5) / rate``; see ``read_frames_regularly``.

    Args:
        pictures: decoded pictures with their times in seconds.
        rate: frames per second.
        interval: for how many seconds the last picture is shown.
        short_side: as for ``read_frames_at``.
        name: of the video, for messages.

    Raises:
        InputError: there is no picture, or one can't be decoded.
    """
    count = 0
    previous: tuple[float, av.VideoFrame] | None = None
    try:
        for time, picture in pictures:
            while previous is not None and (count + 0.5) / rate < (previous[0] + time) / 2:
                yield _to_array(previous[1], short_side)
                count += 1
            previous = (time, picture)
    except av.FFmpegError as error:
        raise InputError(f"{name} can't be decoded ({error.strerror})") from error
    if previous is None:
        raise InputError(f"{name} has no frame that can be decoded")
    while count == 0 or (count + 0.5) / rate < previous[0] + interval:
        yield _to_array(previous[1], short_side)
        count += 1


def _duration_of_packets(video: OpenVideo, name: str) -> float:
    """From the first timestamp to the end of the last frame."""
    stream = video.stream
    try:
        pts = [packet.pts for packet in video.container.demux(stream) if packet.pts is not None]
    except av.FFmpegError as error:
        raise InputError(f"{name} can't be read ({error.strerror})") from error
    if not pts or not stream.time_base:
        raise InputError(f"{name} has no frames with a time")
    return float((max(pts) - min(pts)) * stream.time_base) + frame_interval(video)


def _read_nearest(
    path: str | os.PathLike[str], times: Sequence[float], short_side: int | None, seek: bool
) -> list[npt.NDArray[np.uint8]] | None:
    """The frames, or None if the first one that is decoded is later than the first time."""
    with open_video(path) as video:
        video.stream.thread_type = "SLICE"  # clips are short, and data loaders decode several at once
        if seek and video.stream.time_base:
            start = (video.container.start_time or 0) * _MICROSECOND
            ticks = int((times[0] + start) / video.stream.time_base)
            video.container.seek(ticks, stream=video.stream, backward=True)
        pictures = _timed_pictures(video)
        current = next(pictures, None)
        if current is None or (seek and current[0] > times[0]):
            return None
        following = next(pictures, None)
        frames: list[npt.NDArray[np.uint8]] = []
        converted: tuple[float, npt.NDArray[np.uint8]] | None = None
        for time in times:
            while following is not None and following[0] - time <= time - current[0]:
                current, following = following, next(pictures, None)
            if converted is None or converted[0] != current[0]:
                converted = (current[0], _to_array(current[1], short_side))
            frames.append(converted[1])
        return frames


def _timed_pictures(video: OpenVideo) -> Iterator[tuple[float, av.VideoFrame]]:
    """Decoded pictures with their times in seconds; one without a time follows the previous one at the stated rate."""
    start = (video.container.start_time or 0) * _MICROSECOND
    step = frame_interval(video)
    time = -step
    for picture in video.container.decode(video.stream):
        time = time + step if picture.time is None else picture.time - start
        yield time, picture


def frame_interval(video: OpenVideo) -> float:
    """Seconds from one frame to the next at the rate that the stream states."""
    return 1 / float(video.stream.average_rate or video.stream.guessed_rate or _FALLBACK_RATE)


def _to_array(picture: av.VideoFrame, short_side: int | None) -> npt.NDArray[np.uint8]:
    """Convert to ``(H, W, 3)`` RGB: scaled down, then rotated for display."""
    width, height = picture.width, picture.height
    if short_side is not None and min(width, height) > short_side:
        scale = short_side / min(width, height)
        width, height = round(width * scale), round(height * scale)
    turns = round(picture.rotation / 90) % 4
    scaled = picture.reformat(width, height, "rgb24", interpolation="AREA")
    frame = scaled.to_ndarray().astype(np.uint8, copy=False)
    return np.ascontiguousarray(np.rot90(frame, turns)) if turns else frame
