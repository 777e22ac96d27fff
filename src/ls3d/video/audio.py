"""Audio of a video file: a span of it as mono samples, on the clock of ``read_frames_at``."""

from __future__ import annotations

import os

import av
import numpy as np
import numpy.typing as npt

from ls3d.errors import InputError
from ls3d.video.opening import open_container

Samples = npt.NDArray[np.float32]

_MICROSECOND = 1e-6
#: Seconds that are decoded before the span: decoders need some packets until their output is right.
_PREROLL = 0.25
#: Seconds by which timestamps may deviate from the count of samples: Matroska rounds them to milliseconds.
_JITTER = 0.005
#: Seconds that are decoded around the span, which the resampling filter sees.
_MARGIN = 0.05


def read_audio(path: str | os.PathLike[str], start: float, count: int, rate: int = 16_000) -> Samples | None:
    """Decode a span of the first audio stream.

    Args:
        path: a video or audio file.
        start: of the span, in seconds from the start of the file, as for ``read_frames_at``; may be negative.
        count: number of samples.
        rate: samples per second.

    Returns:
        ``(count,)``, the mean of the channels, from -1 to 1. Where the file has no samples, such as before audio that
        starts late, they are zeros. None if the file has no audio stream.

    Raises:
        OSError: the file can't be read.
        InputError: it is no video, or its audio can't be decoded.
    """
    try:
        span = _Span(start, start + count / rate)
        if not _decode(path, span, seek=start > _PREROLL) and not _decode(path, span.emptied(), seek=False):
            return None
    except (av.FFmpegError, ValueError) as error:  # ValueError: the format changes within the stream
        raise InputError(f"the audio of {os.fspath(path)} can't be decoded ({error})") from error
    return span.resampled(count, rate)


class _Span:
    """Samples of a time span at the file's own rate, filled in while the file is decoded.

    Args:
        start: in seconds.
        end: in seconds.
    """

    def __init__(self, start: float, end: float) -> None:
        self.start = start - _MARGIN
        self.end = end + _MARGIN
        self.rate = 0
        self.samples = np.zeros(0, np.float32)
        self._next: int | None = None

    def emptied(self) -> _Span:
        """Forget all samples."""
        self.rate = 0
        self._next = None
        return self

    def add(self, samples: Samples, time: float | None, rate: int) -> None:
        """Add consecutive mono samples ``(n,)`` that begin at ``time``; None continues after those before."""
        if not self.rate:
            self.rate = rate
            self.samples = np.zeros(round((self.end - self.start) * rate), np.float32)
        position = self._next or 0
        if time is not None:
            stated = round((time - self.start) * rate)
            if self._next is None or abs(stated - position) > _JITTER * rate:
                position = stated
        self._next = position + len(samples)
        first = max(0, position)
        last = min(len(self.samples), self._next)
        if first < last:
            self.samples[first:last] = samples[first - position : last - position]

    def resampled(self, count: int, rate: int) -> Samples:
        """The span without its margins at another rate."""
        if not self.rate:
            return np.zeros(count, np.float32)
        samples = self.samples
        if self.rate != rate:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
            frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
            frame.sample_rate = self.rate
            parts = [*resampler.resample(frame), *resampler.resample(None)]
            samples = np.concatenate([part.to_ndarray()[0] for part in parts]).astype(np.float32, copy=False)
        first = round(_MARGIN * rate)
        found = samples[first : first + count]
        return np.pad(found, (0, count - len(found)))


def _decode(path: str | os.PathLike[str], span: _Span, seek: bool) -> bool:
    """Fill in a span. False if the file has no audio, or the first sample after the seek is too late."""
    with open_container(path) as container:
        stream = next((each for each in container.streams.audio if each.codec_context is not None), None)
        if stream is None:
            return False
        clock = (container.start_time or 0) * _MICROSECOND
        if seek and stream.time_base:
            container.seek(int((span.start - _PREROLL + clock) / stream.time_base), stream=stream, backward=True)
        converter = av.AudioResampler(format="fltp")
        is_first = True
        for decoded in container.decode(stream):
            time = None if decoded.time is None else decoded.time - clock
            if seek and is_first and (time is None or time > span.start):
                return False
            is_first = False
            if time is not None and time > span.end:
                break
            for frame in converter.resample(decoded):
                span.add(frame.to_ndarray().mean(axis=0), time, frame.sample_rate)
        return not (seek and is_first)
