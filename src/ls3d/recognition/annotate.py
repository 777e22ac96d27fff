"""``Annotation``: a copy of a video in which its labels are shown, with its sound and its other streams.

Only the samples under the labels change before the video is encoded again: rotation, timestamps, color and bit depth
stay. Packets wait in a temporary file, so a frame takes 17 bytes of memory.
"""

from __future__ import annotations

import logging
import os
import tempfile
from array import array
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO

from ls3d.errors import InputError, OutputExistsError
from ls3d.files import atomic_write
from ls3d.recognition._labels import LabelPainter
from ls3d.recognition.classify import TimeLine
from ls3d.video import (
    Color,
    EncodedSegment,
    Encoder,
    EncoderSettings,
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
            encoded = [segment.encoded() for segment in segments]
            write_container(temporary, self._container, self._settings, encoded, info, self._video.path, _WHOLE)

    def _check_target(self) -> None:
        if self._target.exists() and not self._overwrite:
            raise OutputExistsError(self._target)

    def _encode(self, time_line: TimeLine, file: IO[bytes], progress: Callable[[float], None] | None) -> list[_Segment]:
        """Encode all frames into a file."""
        info = self._video.info
        painter = LabelPainter(info)
        tick = self._settings.time_base
        segments: list[_Segment] = []
        end = 0
        for number, frame in enumerate(self._video.frames()):
            pts = round(frame.time / tick)
            if number % _SEGMENT_FRAMES == 0:
                if segments:
                    segments[-1].close(pts)
                segments.append(_Segment(self._settings, file))
            window = time_line.at(float(frame.time))
            ((name, value),) = time_line.best(1, window.probabilities).items()
            segments[-1].encode(painter.paint(frame, f"{name} {100 * value:.0f} %"), info.color, pts)
            end = max(pts + 1, round((frame.time + frame.duration) / tick))
            if progress:
                progress(float(frame.time))
        if segments:
            segments[-1].close(end)
        return segments


class _Segment:
    """Consecutive frames, encoded into a file; times, sizes and key flags of their packets in decoding order.

    Args:
        settings: of the encoder.
        file: is written from its current position on.
    """

    def __init__(self, settings: EncoderSettings, file: IO[bytes]) -> None:
        self._encoder: Encoder | None = Encoder(settings)
        self._file = file
        self._start = file.tell()
        self._end = 0
        self._times = array("q")
        self._sizes = array("q")
        self._keys = bytearray()

    def encode(self, frame: Frame, source: Color, pts: int) -> None:
        """Encode a frame; its own samples are used if the output has the color of the source."""
        assert self._encoder is not None
        target = self._encoder.settings.color
        picture = frame.picture
        if source != target:
            picture = from_rgb(to_rgb(picture, source), target, dither=source.layout.depth > target.layout.depth)
        alpha = frame.alpha
        if alpha is not None:
            alpha = with_depth(alpha, source.layout.depth, target.layout.depth)
        self._write(self._encoder.encode(picture, pts, alpha))

    def close(self, end: int) -> None:
        """Encode what the encoder has held back; ``end`` is the tick at which the next segment begins."""
        assert self._encoder is not None
        self._write(self._encoder.flush())
        self._encoder = None
        self._end = end

    def encoded(self) -> EncodedSegment:
        """The segment as ``write_container`` takes it."""
        return EncodedSegment(self._read, lambda: self._times, reorder_depth(self._times), self._end)

    def _write(self, packets: list[Packet]) -> None:
        for packet in packets:
            self._file.write(packet.data)
            self._times.append(packet.pts)
            self._sizes.append(len(packet.data))
            self._keys.append(packet.key)

    def _read(self) -> Iterator[Packet]:
        self._file.seek(self._start)
        for time, size, key in zip(self._times, self._sizes, self._keys, strict=True):
            yield Packet(time, bool(key), self._file.read(size))
