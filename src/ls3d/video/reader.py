"""Frames of a video with their exact times, whatever state the file is in.

Times are ``Fraction`` seconds on the file's own clock, which starts at zero; they always increase. What can't
be decoded is counted, never passed over in silence.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import av

from ls3d.errors import InputError
from ls3d.video.pixels import copy_properties, planar, planes_of
from ls3d.video.probe import VideoInfo, describe, first_picture, main_video_stream, open_container, probe

log = logging.getLogger(__name__)

#: What to do where frames can't be decoded: show the frame before for longer, repeat it, or stop with an
#: error.
OnError = Literal["skip", "repeat", "stop"]

#: Suffixes of files that are read as images of a sequence.
IMAGE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".dpx"})

#: How far before the wanted frame to look for a keyframe, in seconds, in turn; None reads from the beginning.
_SEEK_MARGINS = (Fraction(0), Fraction(2), Fraction(20), None)


@dataclass(frozen=True)
class Mark:
    """The time and the checksum of a frame, by which it is recognized when the source is read again."""

    time: Fraction
    digest: str


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame.

    Attributes:
        time: when it is shown, in seconds.
        duration: for how long, by the file's word or the average rate.
        picture: its samples, planar.
        lost: packets since the frame before that could not be decoded, and 1 if this one is damaged.
        retimed: whether the file's own time could not be used.
    """

    time: Fraction
    duration: Fraction
    picture: av.VideoFrame
    lost: int = 0
    retimed: bool = False

    def mark(self) -> Mark:
        """What this frame is recognized by."""
        digest = hashlib.blake2b(digest_size=8)
        for plane in planes_of(self.picture):
            digest.update(plane.tobytes())
        return Mark(self.time, digest.hexdigest())


class Source(Protocol):
    """Something that gives frames: a file, a pipe, a folder of images.

    Attributes:
        info: what is known of it.
        lost_at_end: packets after the last frame that could not be decoded, known once all frames are read.
    """

    info: VideoInfo
    lost_at_end: int

    def frames(self, after: Sequence[Mark] = (), start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """Frames in order of time.

        Args:
            after: consecutive frames known from an earlier reading; they come first again, whatever ``start``
                is.
            start: the earliest time wanted.

        Raises:
            InputError: the marked frames are not in the source any more.
        """
        ...


class VideoFile:
    """A video file, read from any place.

    Seeking is trusted only as far as it can be checked: after a seek the marked frames must decode to the
    same samples, or the file is read from further back, in the end from its beginning.

    Args:
        path: the file.
        on_error: what to do where frames can't be decoded.
    """

    def __init__(self, path: str | os.PathLike[str], on_error: OnError = "skip") -> None:
        self.path, self.on_error = Path(path), on_error
        self.info = probe(path)
        self.lost_at_end = 0

    def frames(self, after: Sequence[Mark] = (), start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """See ``Source.frames``."""
        target = after[0].time if after else start
        for margin in _SEEK_MARGINS:
            if margin is not None and target - margin <= 0:
                continue
            with open_container(self.path) as container:
                if margin is not None:
                    self._seek(container, target - margin)
                decoder = _Decoder(container, self.info, self.on_error)
                frames = decoder.frames()
                opening = _match(frames, after) if after else _reach(frames, start, margin is None)
                if opening is None:
                    continue
                yield from opening
                yield from frames
                self.lost_at_end = decoder.lost
                return
        raise InputError(f"{self.path} has changed since the unfinished job began; start it anew with --restart")

    def _seek(self, container: av.container.InputContainer, time: Fraction) -> None:
        stream = main_video_stream(container, self.info.name)
        try:
            container.seek(int((time + self.info.start) / self.info.time_base), stream=stream, backward=True)
        except av.FFmpegError as error:
            log.debug("%s: seeking to %.3f s failed (%s)", self.path, float(time), error)


class VideoPipe:
    """A video that comes through a pipe (y4m or any format that needs no seeking), read once.

    Args:
        file: a binary file, for example ``sys.stdin.buffer``.
        on_error: what to do where frames can't be decoded.

    Raises:
        InputError: what comes is no video.
    """

    def __init__(self, file: BinaryIO, on_error: OnError = "skip") -> None:
        name = "standard input"
        try:
            self._container = av.open(file, "r", metadata_errors="replace")
        except av.FFmpegError as error:
            raise InputError(f"{name} is not a video that can be read ({error.strerror})") from error
        stream = main_video_stream(self._container, name)
        self._first = first_picture(self._container, stream, name)
        info = describe(self._container, stream, self._first, name)
        self.info, self.lost_at_end = replace(info, seekable=False), 0
        self._on_error = on_error

    def frames(self, after: Sequence[Mark] = (), start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """See ``Source.frames``; ``after`` must be empty."""
        if after:
            raise InputError("a job that reads standard input can't go on where it stood; use --restart")
        decoder = _Decoder(self._container, self.info, self._on_error)
        with self._container:
            yield from (frame for frame in decoder.frames(self._first) if frame.time >= start)
        self.lost_at_end = decoder.lost


class ImageSequence:
    """Images as a video of constant rate, in the natural order of their names.

    Args:
        folder: a folder; files that are no images are left out.
        rate: frames per second.
        on_error: what to do with an image that can't be decoded.

    Raises:
        InputError: there is no image in it, or the first one can't be decoded.
    """

    def __init__(
        self, folder: str | os.PathLike[str], rate: Fraction = Fraction(25), on_error: OnError = "skip"
    ) -> None:
        self.folder, self.rate, self.on_error = Path(folder), rate, on_error
        self.paths = sorted(
            (path for path in self.folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES), key=_natural
        )
        if not self.paths:
            raise InputError(f"{folder} holds no images; expected PNG, TIFF, JPEG, BMP, WebP, PPM or DPX files")
        count = len(self.paths)
        self.info = replace(
            probe(self.paths[0]),
            name=str(folder),
            container="images",
            rate=rate,
            time_base=1 / rate,
            start=Fraction(0),
            duration=count / rate,
            frames=count,
            streams=(),
            metadata={},
            stream_metadata={},
        )
        self.lost_at_end = 0

    def frames(self, after: Sequence[Mark] = (), start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """See ``Source.frames``."""
        frames = self._decode(max(0, -int(-(after[0].time if after else start) * self.rate // 1)))
        if after:
            opening = _match(frames, after)
            if opening is None:
                raise InputError(f"{self.folder} has changed since the unfinished job began; use --restart")
            yield from opening
        yield from frames

    def _decode(self, first: int) -> Iterator[Frame]:
        lost, previous = 0, None
        for index, path in enumerate(self.paths[first:], first):
            picture = self._load(path)
            time = index / self.rate
            if picture is not None:
                previous = Frame(time, 1 / self.rate, picture, lost)
                lost = 0
                yield previous
            else:
                lost += 1
                if self.on_error == "repeat" and previous is not None:
                    yield replace(previous, time=time, lost=1)
                    lost = 0
        self.lost_at_end = lost

    def _load(self, path: Path) -> av.VideoFrame | None:
        try:
            with open_container(path) as container:
                stream = main_video_stream(container, str(path))
                picture = first_picture(container, stream, str(path))
        except InputError:
            if self.on_error == "stop":
                raise
            log.warning("%s: no image can be decoded", path)
            return None
        return _conform(picture, self.info)


def _natural(path: Path) -> tuple[tuple[int, int | str], ...]:
    """A sorting key in which ``frame9`` comes before ``frame10``."""
    parts = re.split(r"(\d+)", path.name)
    return tuple((1, int(part)) if part.isdigit() else (0, part) for part in parts)


def _match(frames: Iterator[Frame], marks: Sequence[Mark]) -> list[Frame] | None:
    """Read up to the marked frames: these frames, or None where they aren't as marked."""
    first = next((frame for frame in frames if frame.time >= marks[0].time), None)
    found = [] if first is None else [first]
    while found and len(found) < len(marks) and (frame := next(frames, None)) is not None:
        found.append(frame)
    return found if [frame.mark() for frame in found] == list(marks) else None


def _reach(frames: Iterator[Frame], start: Fraction, from_beginning: bool) -> list[Frame] | None:
    """Read up to ``start``: the first frame from there, or None where reading began too late."""
    before = from_beginning
    for frame in frames:
        if frame.time >= start:
            return [frame] if before or frame.time == start else None
        before = True
    return [] if from_beginning else None


def _conform(picture: av.VideoFrame, info: VideoInfo) -> av.VideoFrame:
    """The picture in the layout, size and tags of the video, should the stream change in its middle."""
    layout = info.color.layout
    result = planar(picture)
    if (result.width, result.height, result.format.name) != (info.width, info.height, layout.name):
        result = result.reformat(info.width, info.height, layout.name)
        copy_properties(picture, result)
    for name, value in info.tags.items():
        setattr(result, name, value)
    return result


class _Decoder:
    """Decodes a container's main stream and repairs its clock.

    Decoders work on several packets at once and tell of a bad one late, so its time is found by what is missing:
    frames come in order of time, and a packet of which none came before a later one is lost.

    Attributes:
        lost: packets that could not be decoded since the last frame.
    """

    def __init__(self, container: av.container.InputContainer, info: VideoInfo, on_error: OnError) -> None:
        self.container, self.info, self.on_error = container, info, on_error
        self.lost = 0
        self._awaited: set[int] = set()
        self._previous: Frame | None = None

    def frames(self, first: av.VideoFrame | None = None) -> Iterator[Frame]:
        """All frames from where the container stands, after the ``first``, which is decoded already."""
        for picture in self._pictures(first):
            frame = self._timed(picture)
            missing = self._missing(frame.time)
            if self.on_error == "repeat" and self._previous is not None:
                for time in missing[: self.lost]:
                    yield replace(self._previous, time=time, lost=1)
                    self.lost -= 1
            frame = replace(frame, lost=self.lost + bool(picture.is_corrupt))
            self.lost, self._previous = 0, frame
            yield frame

    def _pictures(self, first: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        stream = main_video_stream(self.container, self.info.name)
        if first is not None:
            yield first
        else:
            stream.thread_type = "AUTO"
        for packet in self._packets(stream):
            if packet.pts is not None and not packet.is_discard:
                self._awaited.add(packet.pts)
            try:
                pictures = packet.decode()
            except av.FFmpegError as error:
                self._lose(error)
                continue
            yield from pictures

    def _packets(self, stream: av.VideoStream) -> Iterator[av.Packet]:
        try:
            yield from self.container.demux(stream)
        except av.FFmpegError as error:
            log.warning("%s: reading ends early (%s)", self.info.name, error.strerror)
            self._lose(error)

    def _lose(self, error: av.FFmpegError) -> None:
        if self.on_error == "stop":
            after = self._previous.time if self._previous is not None else Fraction(-1)
            time = min((t for t in map(self._seconds, self._awaited) if t > after), default=None)
            place = "" if time is None else f" at {float(time):.3f} s"
            raise InputError(f"{self.info.name}: the frame{place} can't be decoded ({error.strerror})") from error
        self.lost += 1

    def _missing(self, until: Fraction) -> list[Fraction]:
        """Times of packets after the previous frame of which no frame came; those up to ``until`` are settled."""
        past = {pts for pts in self._awaited if self._seconds(pts) <= until}
        self._awaited -= past
        after = self._previous.time if self._previous is not None else until
        return sorted(time for time in map(self._seconds, past) if after < time < until)

    def _seconds(self, pts: int) -> Fraction:
        return pts * self.info.time_base - self.info.start

    def _timed(self, picture: av.VideoFrame) -> Frame:
        """Give the picture its time: the file's, or one nominal step on where that doesn't increase."""
        tick = self.info.time_base
        step = max(tick, round(1 / self.info.rate / tick) * tick)
        duration = picture.duration * tick if picture.duration else step
        time = None if picture.pts is None else picture.pts * Fraction(picture.time_base or tick)
        time = None if time is None else time - self.info.start
        usable = time is not None and (self._previous is None or time > self._previous.time)
        if time is None or not usable:
            time = self._previous.time + step if self._previous else Fraction(0)
        return Frame(time, duration, _conform(picture, self.info), retimed=not usable)
