"""Video files and pipes as sources: exact times, checked seeking, damage counted.

Times are ``Fraction`` seconds on the file's own clock, which starts at zero; they always increase.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext

from ls3d.errors import InputError
from ls3d.video.alpha import layer_decoder
from ls3d.video.decoding import FirstPictures, decode_packet, first_pictures
from ls3d.video.names import DEFAULT_MAX_PIXELS
from ls3d.video.opening import OpenVideo, closing_decoder, interruptible, main_video_stream, open_pipe, open_video
from ls3d.video.properties import VideoInfo, describe, probe
from ls3d.video.source import Frame, Mark, OnError, conform, conformed_alpha, read_from, read_marked

log = logging.getLogger(__name__)

#: How far before the wanted frame to seek, in seconds, tried in this order; None reads from the beginning.
_SEEK_MARGINS = (Fraction(0), Fraction(2), Fraction(20), None)


class VideoFile:
    """A video file that can be read from any position.

    Implements ``ls3d.video.Source``. The result of a seek is checked: unless the marked frames decode to the same
    samples, the file is read again from an earlier keyframe, and finally from its beginning.

    Args:
        path: the file.
        on_error: what to do where frames can't be decoded.
        max_pixels: a file with larger pictures is refused before one is decoded.
        device: kind of device that decodes, as ``ls3d.video.hardware_decoding.usable_device`` returns it; None for
            software.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is not a video, or no frame of it can be decoded.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        on_error: OnError = "skip",
        max_pixels: int = DEFAULT_MAX_PIXELS,
        device: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.on_error = on_error
        self.max_pixels = max_pixels
        self.device = device
        self.info = probe(path, max_pixels)
        self.undecodable_at_end = 0

    def frames(self, after: Sequence[Mark] = (), start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """See ``Source.frames``."""
        with self._read(after, start) as reading:
            if reading is None:
                raise InputError(f"{self.path} has changed since the job began, so the job can't be resumed")
            yield from reading.frames
            decoder = reading.decoder
        if decoder.previous is not None and decoder.lacks_last_packets():
            # PyAV stops draining a decoder at the first error, which loses what its other threads hold.
            with self._read([decoder.previous.mark()], start, threaded=False) as reading:
                if reading is not None:
                    following = itertools.islice(reading.frames, 1, None)
                    yield from (frame for frame in following if after or frame.time >= start)
                    decoder = reading.decoder
        yield from decoder.repeated_at_end()
        self.undecodable_at_end = decoder.undecodable

    @contextmanager
    def _read(self, after: Sequence[Mark], start: Fraction, threaded: bool = True) -> Iterator[_Reading | None]:
        """Begin to read at the marks or, without any, at ``start``; None if the marked frames are not found."""
        target = after[0].time if after else start
        for margin in _SEEK_MARGINS:
            if margin is not None and target - margin <= 0:
                continue
            accelerator = None if self.device is None else HWAccel(self.device)
            with open_video(self.path, self.max_pixels, accelerator) as video:
                if margin is not None:
                    self._seek(video, target - margin)
                decoder = _Decoder(video.container, self.info, self.on_error, threaded, layer_decoder(video.stream))
                frames = decoder.frames()
                first = read_marked(frames, after) if after else read_from(frames, start, margin is None)
                if first is not None:
                    yield _Reading(decoder, itertools.chain(first, frames))
                    return
        yield None

    def _seek(self, video: OpenVideo, time: Fraction) -> None:
        ticks = int((time + self.info.start) / self.info.time_base)
        try:
            video.container.seek(ticks, stream=video.stream, backward=True)
        except av.FFmpegError as error:
            log.debug("%s: seeking to %.3f s failed (%s)", self.path, float(time), error)


class VideoPipe:
    """A video from standard input or another pipe (y4m, or any format that can be read without seeking).

    Implements ``ls3d.video.Source``, for a single reading.

    Args:
        file: a binary file, for example ``sys.stdin.buffer``.
        on_error: what to do where frames can't be decoded.
        max_pixels: a video with larger pictures is refused before one is decoded.

    Raises:
        InputError: the content is not a video, or no frame of it can be decoded.
    """

    def __init__(self, file: BinaryIO, on_error: OnError = "skip", max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        name = "standard input"
        with interruptible(file) as reader:
            self._container, self._stream = open_pipe(reader, name, max_pixels)
            try:
                self._layer_decoder = layer_decoder(self._stream)
                self._first = first_pictures(self._container, self._stream, name, self._layer_decoder)
                if on_error == "stop" and self._first.undecodable_packets:
                    raise InputError(f"{name}: the first frame can't be decoded")
                self.info = replace(
                    describe(self._container, self._stream, self._first.pictures[0], name), seekable=False
                )
            except BaseException:
                self._container.close()
                raise
        self.undecodable_at_end = 0
        self._on_error = on_error

    def frames(self, after: Sequence[Mark] = (), start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """See ``Source.frames``; ``after`` must be empty."""
        if after:
            raise InputError(f"{self.info.name} can be read only once, so a job that reads it can't be resumed")
        decoder = _Decoder(self._container, self.info, self._on_error, False, self._layer_decoder)
        with self._container, closing_decoder(self._stream):
            frames = itertools.chain(decoder.frames(self._first), decoder.repeated_at_end())
            yield from (frame for frame in frames if frame.time >= start)
        self.undecodable_at_end = decoder.undecodable


class _Reading(NamedTuple):
    """A decoder and the frames that it gives."""

    decoder: _Decoder
    frames: Iterator[Frame]


class _Decoder:
    """Decodes a container's main video stream and replaces unusable timestamps.

    Decoders with several threads report a bad packet late, so its time is inferred: frames come in presentation order,
    so a packet is undecodable if a frame with a later time has come and its own has not.

    Args:
        container: an open file.
        info: its properties.
        on_error: what to do where frames can't be decoded.
        threaded: whether several threads decode several frames at once.
        decoder: is used instead of the stream's own.

    Attributes:
        undecodable: packets since the last frame that could not be decoded.
        previous: the last decoded frame.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        info: VideoInfo,
        on_error: OnError,
        threaded: bool,
        decoder: VideoCodecContext | None = None,
    ) -> None:
        self.container = container
        self.info = info
        self.on_error = on_error
        self.threaded = threaded
        self.decoder = decoder
        self.undecodable = 0
        self.previous: Frame | None = None
        self._pending_pts: set[int] = set()
        #: AVI has no presentation times, and FFmpeg's guess is late by the decoder's delay. Frames are shown in order,
        #: so each gets the earliest decoding time that isn't used yet.
        self._decoding_times: list[int] | None = [] if info.container == "avi" else None

    def frames(self, first: FirstPictures | None = None) -> Iterator[Frame]:
        """All frames from the container's position on, after the ``first`` ones if these are decoded already."""
        if first is not None:
            self.undecodable += first.undecodable_packets
        for picture in self._pictures(first):
            frame = self._timed_frame(picture)
            yield from self._repeated(self._missing_times(frame.time))
            frame = replace(frame, undecodable_packets=self.undecodable + bool(picture.is_corrupt))
            self.undecodable = 0
            self.previous = frame
            yield frame

    def lacks_last_packets(self) -> bool:
        """Whether some of the last packets gave no frame; to be asked after all frames are read."""
        return bool(self._times_after_previous(self._pending_pts))

    def repeated_at_end(self) -> Iterator[Frame]:
        """Further frames, if undecodable ones at the end are to be repeated; to be asked after all frames are read."""
        return self._repeated(self._times_after_previous(self._pending_pts))

    def _repeated(self, times: Sequence[Fraction]) -> Iterator[Frame]:
        """If ``on_error`` is ``"repeat"``, the previous frame again, once for each undecodable packet."""
        if self.on_error == "repeat" and self.previous is not None:
            for time in times[: self.undecodable]:
                yield replace(self.previous, time=time, undecodable_packets=1)
                self.undecodable -= 1

    def _pictures(self, first: FirstPictures | None) -> Iterator[av.VideoFrame]:
        stream = main_video_stream(self.container, self.info.name)
        if first is not None:
            if self._decoding_times is not None:
                self._decoding_times += first.decoding_times
            yield from map(self._with_decoding_time, first.pictures)
        else:
            stream.thread_type = "AUTO" if self.threaded else "SLICE"
        for packet in self._packets(stream):
            self._register(packet)
            try:
                pictures = decode_packet(packet, self.decoder)
            except av.EOFError:  # the decoder was already drained to get the first pictures
                continue
            except av.FFmpegError as error:
                self._count_undecodable(error)
                if self._decoding_times:
                    self._decoding_times.pop()
                continue
            yield from map(self._with_decoding_time, pictures)

    def _register(self, packet: av.Packet[Any]) -> None:
        """Record the time of a packet that is about to be decoded."""
        if self._decoding_times is not None:
            packet.pts = packet.dts
        if packet.pts is not None and not packet.is_discard:
            self._pending_pts.add(packet.pts)
            if self._decoding_times is not None and packet.size:
                self._decoding_times.append(packet.pts)

    def _with_decoding_time(self, picture: av.VideoFrame) -> av.VideoFrame:
        if self._decoding_times:
            picture.pts = self._decoding_times.pop(0)
        return picture

    def _packets(self, stream: av.VideoStream) -> Iterator[av.Packet[Any]]:
        try:
            yield from self.container.demux(stream)
        except av.FFmpegError as error:
            log.warning("%s: reading ends early (%s)", self.info.name, error.strerror)
            last = av.Packet()  # an empty packet drains the decoder, as ``demux`` does at the end
            last.stream = stream
            yield last
            self._count_undecodable(error)

    def _count_undecodable(self, error: av.FFmpegError) -> None:
        if self.on_error == "stop":
            pending = (self._seconds(pts) for pts in self._pending_pts)
            time = min((t for t in pending if self.previous is None or t > self.previous.time), default=None)
            place = "" if time is None else f" at {float(time):.3f} s"
            raise InputError(f"{self.info.name}: the frame{place} can't be decoded ({error.strerror})") from error
        self.undecodable += 1

    def _missing_times(self, until: Fraction) -> list[Fraction]:
        """Times between the previous frame and ``until`` of packets that gave no frame."""
        past = {pts for pts in self._pending_pts if self._seconds(pts) <= until}
        self._pending_pts -= past
        return [time for time in self._times_after_previous(past) if time < until]

    def _times_after_previous(self, pts: Iterable[int]) -> list[Fraction]:
        """Those of the timestamps that are later than the previous frame, in seconds."""
        if self.previous is None:
            return []
        times = sorted(self._seconds(each) for each in pts)
        return [time for time in times if time > self.previous.time]

    def _seconds(self, pts: int) -> Fraction:
        return pts * self.info.time_base - self.info.start

    def _timed_frame(self, picture: av.VideoFrame) -> Frame:
        """The picture with its time: the file's, or one nominal step after the previous where that doesn't increase."""
        tick = self.info.time_base
        step = max(tick, round(1 / self.info.rate / tick) * tick)
        duration = picture.duration * tick if picture.duration else step
        time = None
        if picture.pts is not None:
            time = picture.pts * Fraction(picture.time_base or tick) - self.info.start
        usable = time is not None and (self.previous is None or time > self.previous.time)
        if time is None or not usable:
            time = self.previous.time + step if self.previous else Fraction(0)
        alpha = conformed_alpha(picture, self.info)
        return Frame(time, duration, conform(picture, self.info), retimed=not usable, alpha=alpha)
