"""The interface through which frames are read, whatever they are read from, and helpers for its implementations.

``ls3d.video.file_source`` and ``ls3d.video.image_source`` implement it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

import av

from ls3d.video.alpha import alpha_of
from ls3d.video.pixels import Plane, copy_properties, planar, planes_of
from ls3d.video.properties import VideoInfo

#: What to do where frames can't be decoded: hold the previous frame for longer (``"skip"``), repeat it at the times
#: of the missing frames (``"repeat"``), or raise an error (``"stop"``).
OnError = Literal["skip", "repeat", "stop"]


@dataclass(frozen=True)
class Mark:
    """The time and checksum of a frame, which identify it when the source is read again.

    Attributes:
        time: presentation time in seconds.
        digest: BLAKE2b checksum of the samples, in hexadecimal.
    """

    time: Fraction
    digest: str


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame.

    Attributes:
        time: presentation time in seconds.
        duration: in seconds, as stated by the file, otherwise one over the average frame rate.
        picture: planar samples, in the layout, size and tags of the source's ``VideoInfo``.
        undecodable_packets: packets since the previous frame that could not be decoded, plus 1 if the decoder
            reports this frame as corrupt.
        retimed: whether the file's own timestamp was missing or did not increase, so that ``time`` was computed.
        duplicates: following frames of the source that show the same and were dropped; ``duration`` covers them.
        alpha: transparency of each sample, ``(height, width)``, with as many bits as the picture; None if there is
            none.
    """

    time: Fraction
    duration: Fraction
    picture: av.VideoFrame
    undecodable_packets: int = 0
    retimed: bool = False
    duplicates: int = 0
    alpha: Plane | None = None

    def mark(self) -> Mark:
        """The mark that identifies this frame."""
        digest = hashlib.blake2b(digest_size=8)
        for plane in planes_of(self.picture):
            digest.update(plane.tobytes())
        if self.alpha is not None:
            digest.update(self.alpha.tobytes())
        return Mark(self.time, digest.hexdigest())


class Source(Protocol):
    """Frames of a video: a file, a pipe, a folder of images.

    A new source must fulfill the following; ``tests/video/test_sources.py`` checks it for every source listed there.

    * ``info`` is complete once the source is constructed, and every frame's picture has its layout, size and tags.
    * Frame times strictly increase, on a clock that starts at zero with the first stream of the file.
    * If ``info.seekable``, ``frames`` can be called any number of times, and each call yields equal frames (equal
      marks). Otherwise it can be called once, with an empty ``after``.
    * A packet or image that can't be decoded is handled as its ``OnError`` says. Unless that is ``"stop"``, it is
      counted exactly once: in ``undecodable_packets`` of the next frame yielded, or in ``undecodable_at_end``.
    * What the user can correct raises ``InputError``.

    Attributes:
        info: the properties of the video.
        undecodable_at_end: packets after the last frame that could not be decoded; valid once all frames are read.
    """

    info: VideoInfo
    undecodable_at_end: int

    def frames(self, after: Sequence[Mark] = (), start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """Read frames in presentation order.

        Args:
            after: marks of consecutive frames from an earlier reading. If given, the frames yielded begin with the
                first marked one, and ``start`` is ignored.
            start: time in seconds; frames before it are left out.

        Raises:
            InputError: the marked frames are not found, or a frame can't be decoded and the source is to stop there.
        """
        ...


def read_marked(frames: Iterator[Frame], marks: Sequence[Mark]) -> list[Frame] | None:
    """Advance to the first marked frame and read as many frames as there are marks.

    Returns:
        These frames, or None if their marks differ from ``marks``.
    """
    first = next((frame for frame in frames if frame.time >= marks[0].time), None)
    found = [] if first is None else [first]
    while found and len(found) < len(marks) and (frame := next(frames, None)) is not None:
        found.append(frame)
    return found if [frame.mark() for frame in found] == list(marks) else None


def read_from(frames: Iterator[Frame], start: Fraction, from_beginning: bool) -> list[Frame] | None:
    """Advance to the first frame at or after ``start``.

    Args:
        frames: consecutive frames.
        start: time in seconds.
        from_beginning: whether they begin with the first frame of the source.

    Returns:
        This frame (an empty list if there is none), or None if reading began too late to be sure that it is the first.
    """
    is_first = from_beginning
    for frame in frames:
        if frame.time >= start:
            return [frame] if is_first or frame.time == start else None
        is_first = True
    return [] if from_beginning else None


def conform(picture: av.VideoFrame, info: VideoInfo) -> av.VideoFrame:
    """Convert a picture to the planar layout, size and tags of the video: a stream may change them in its middle."""
    layout = info.color.layout
    result = planar(picture)
    if (result.width, result.height, result.format.name) != (info.width, info.height, layout.name):
        result = result.reformat(info.width, info.height, layout.name)
        copy_properties(picture, result)
    for name, value in info.tags.items():
        setattr(result, name, value)
    return result


def conformed_alpha(picture: av.VideoFrame, info: VideoInfo) -> Plane | None:
    """The alpha plane of a decoded picture, in the size and depth of the video; None if the video has none."""
    return alpha_of(picture, (info.height, info.width), info.color.layout.depth) if info.alpha else None
