"""``Annotation``: a copy of a video in which its labels are shown, with its sound and its other streams.

Only the samples under the labels change before the video is encoded again: rotation, timestamps, color and bit depth
stay. Packets wait in a temporary file, so memory does not depend on the video's length.
"""

from __future__ import annotations

import logging
import os
import tempfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO

from ls3d.errors import InputError, OutputExistsError
from ls3d.files import atomic_write
from ls3d.recognition._labels import LabelPainter
from ls3d.recognition.classify import TimeLine
from ls3d.video import (
    EncodedSegment,
    Encoder,
    Frame,
    Packet,
    TimeRange,
    VideoFile,
    choose_settings,
    container_notes,
    container_of,
    from_rgb,
    reorder_depth,
    to_rgb,
    write_container,
)
from ls3d.video.alpha import with_depth

log = logging.getLogger(__name__)

#: Formats that store no times of their own.
_COUNTING_FRAMES = ("avi", "y4m")

_WHOLE = TimeRange(Fraction(0), None)
_SEGMENT_FRAMES = 1000  # encoded together; each segment begins with a keyframe


class Annotation:
    """A video to which labels are added.

    Args:
        source: the video.
        target: the file to write; its suffix chooses the format.
        overwrite: whether an existing file is replaced.

    Raises:
        OutputExistsError: the target exists and is not to be overwritten.
        OSError: there is no such video, or no folder for the target.
        InputError: the video can't be decoded, or the target's format can't hold it or stores no times.
    """

    def __init__(self, source: str | os.PathLike[str], target: str | os.PathLike[str], overwrite: bool = False) -> None:
        self._target = Path(target)
        self._overwrite = overwrite
        self._container = container_of(target)
        if self._container in _COUNTING_FRAMES:
            raise InputError(f"{self._target}: this format stores no times; expected .mp4, .mov, .mkv or .webm")
        if not self._target.parent.is_dir():
            raise FileNotFoundError(f"{self._target}: there is no folder {self._target.parent}")
        self._check_target()
        self._video = VideoFile(source)
        info = self._video.info
        if self._target.exists() and self._target.samefile(source):
            raise InputError(f"{self._target} is the source itself; expected another name for the output")
        self._settings = choose_settings(
            info, self._container, size=(info.height, info.width), time_base=info.time_base, rate=info.rate, fields=True
        )
        for note in container_notes(self._container, self._settings, info, self._video.path, _WHOLE):
            log.warning("%s", note)

    def write(self, time_line: TimeLine, progress: Callable[[float], None] | None = None) -> None:
        """Write the video: each frame shows the best class of the window whose center is nearest, and its probability.

        Args:
            time_line: what ``classify_video`` returned for the source.
            progress: called after each frame with its time in seconds.
        """
        self._check_target()
        info = self._video.info
        with tempfile.TemporaryFile(dir=self._target.parent) as file, atomic_write(self._target) as temporary:
            segments = self._encode(time_line, file, progress)
            encoded = [segment.encoded(file) for segment in segments]
            write_container(temporary, self._container, self._settings, encoded, info, self._video.path, _WHOLE)

    def _check_target(self) -> None:
        if self._target.exists() and not self._overwrite:
            raise OutputExistsError(self._target)

    def _encode(self, time_line: TimeLine, file: IO[bytes], progress: Callable[[float], None] | None) -> list[_Segment]:
        """Encode all frames into a file."""
        painter = LabelPainter(self._video.info)
        tick = self._settings.time_base
        segments: list[_Segment] = []
        encoder = Encoder(self._settings)
        end = 0
        for number, frame in enumerate(self._video.frames()):
            pts = round(frame.time / tick)
            if number % _SEGMENT_FRAMES == 0:
                if segments:
                    segments[-1].close(encoder, file, pts)
                encoder = Encoder(self._settings)
                segments.append(_Segment(file.tell()))
            window = time_line.at(float(frame.time))
            ((name, value),) = time_line.best(1, window.probabilities).items()
            labeled = painter.paint(frame, f"{name} {100 * value:.0f} %")
            segments[-1].write(self._encoded(encoder, labeled, pts), file)
            end = max(pts + 1, round((frame.time + frame.duration) / tick))
            if progress:
                progress(float(frame.time))
        if segments:
            segments[-1].close(encoder, file, end)
        return segments

    def _encoded(self, encoder: Encoder, frame: Frame, pts: int) -> list[Packet]:
        """Encode a frame, whose own samples are used where the output has the same color."""
        source = self._video.info.color
        target = self._settings.color
        picture = frame.picture
        if source != target:
            rgb = to_rgb(picture, source)
            picture = from_rgb(rgb, target, dither=source.layout.depth > target.layout.depth)
        alpha = frame.alpha
        if alpha is not None:
            alpha = with_depth(alpha, source.layout.depth, target.layout.depth)
        return encoder.encode(picture, pts, alpha)


@dataclass
class _Segment:
    """Packets of consecutive frames in a file: where they begin, and times, sizes and key flags in decoding order."""

    start: int
    times: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    keys: bytearray = field(default_factory=bytearray)
    end: int = 0

    def write(self, packets: list[Packet], file: IO[bytes]) -> None:
        for packet in packets:
            file.write(packet.data)
            self.times.append(packet.pts)
            self.sizes.append(len(packet.data))
            self.keys.append(packet.key)

    def close(self, encoder: Encoder, file: IO[bytes], end: int) -> None:
        """Write what the encoder has held back; ``end`` is the tick at which the next segment begins."""
        self.write(encoder.flush(), file)
        self.end = end

    def encoded(self, file: IO[bytes]) -> EncodedSegment:
        return EncodedSegment(lambda: self._read(file), lambda: self.times, reorder_depth(self.times), self.end)

    def _read(self, file: IO[bytes]) -> Iterator[Packet]:
        file.seek(self.start)
        for time, size, key in zip(self.times, self.sizes, self.keys, strict=True):
            yield Packet(time, bool(key), file.read(size))
