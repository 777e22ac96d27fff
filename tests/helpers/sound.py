"""Videos with a click track, written with PyAV only: white frames and clicks at known times."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

RATE = 48_000


def click_track(
    path: Path,
    clicks: Sequence[float],
    *,
    seconds: float = 4.0,
    audio_start: float = 0.0,
    frame_times: Sequence[float] | None = None,
    codec: str = "flac",
    layout: str = "mono",
) -> Path:
    """Write a video whose frames are white for 50 ms from each click on.

    Args:
        path: the file.
        clicks: times of the clicks, in seconds.
        seconds: duration.
        audio_start: time of the first sample; those before are not in the file.
        frame_times: of the frames, in milliseconds' precision; 25 per second by default.
        codec: FFmpeg's name of the audio encoder.
        layout: of the channels.
    """
    times = [k / 25 for k in range(round(25 * seconds))] if frame_times is None else list(frame_times)
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("libx264", rate=25, options={"crf": "0", "preset": "ultrafast", "g": "5"})
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio: Any = output.add_stream(codec, rate=RATE, layout=layout)
        packets = []
        for time in times:
            is_white = any(click - 1e-6 <= time < click + 0.05 for click in clicks)
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 255 * is_white, np.uint8), format="rgb24")
            frame.pts = round(1000 * time)
            frame.time_base = Fraction(1, 1000)
            packets += video.encode(frame)
        packets += video.encode()
        packets += _audio_packets(audio, clicks, seconds, audio_start, layout)
        packets.sort(key=lambda packet: float(packet.dts * packet.time_base))
        for packet in packets:
            output.mux(packet)
    return path


def _audio_packets(stream: Any, clicks: Sequence[float], seconds: float, start: float, layout: str) -> list[Any]:
    wave = click_wave(clicks, seconds, RATE)[round(start * RATE) :]
    size = stream.codec_context.frame_size or 1024
    kind = stream.codec_context.format.name
    packets = []
    for first in range(0, len(wave), size):
        part = wave[first : first + size][None]
        samples = part.repeat(2, axis=0) if layout == "stereo" else part
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
        frame.sample_rate = RATE
        (converted,) = av.AudioResampler(format=kind).resample(frame)
        converted.pts = round(start * RATE) + first
        converted.time_base = Fraction(1, RATE)
        packets += stream.encode(converted)
    return packets + list(stream.encode())


def click_wave(clicks: Sequence[float], seconds: float, rate: int) -> npt.NDArray[np.float32]:
    """The samples: 2 ms of 0.5 for each click."""
    time = np.arange(round(seconds * rate)) / rate
    loud = np.zeros(len(time), bool)
    for click in clicks:
        loud |= (time >= click) & (time < click + 0.002)
    return (0.5 * loud).astype(np.float32)
