"""Small videos with known content, written with PyAV only, and functions that read videos with PyAV only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

#: RGB values ``(H, W, 3)``.
Image = npt.NDArray[np.uint8]

# Color tags, as in ``ls3d.video.VideoInfo.tags``.
BT709 = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
BT601 = {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 1}
HDR10 = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}


@dataclass
class Clip:
    """A test video; ``write`` creates the file.

    Attributes:
        frames: number of frames.
        size: height and width.
        codec: FFmpeg's name of the encoder.
        pix_fmt: pixel format of the encoder.
        rate: frames per second.
        time_base: seconds per tick; by default one over the rate.
        pts: time of each frame in ticks; by default evenly spaced.
        tags: color tags.
        rotation: degrees counterclockwise, for the display matrix.
        aspect: sample aspect ratio.
        options: of the encoder; lossless by default.
        audio: language of each audio track.
        audio_seconds: duration of the audio; by default that of the video.
        audio_codec: FFmpeg's name of the audio encoder.
        subtitles: start and end in milliseconds, and text.
        attachment: content of an attached font.
        chapters: start and end in milliseconds, and title.
        metadata: of the file.
        shot_length: frames from one hard cut to the next; None for a single shot.
        picture: maps frame number, height and width to RGB; by default ``moving_picture``.
        container_options: options for FFmpeg's muxer.
    """

    frames: int = 8
    size: tuple[int, int] = (48, 64)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    rate: Fraction = Fraction(25)
    time_base: Fraction | None = None
    pts: Sequence[int] | None = None
    tags: dict[str, int] = field(default_factory=dict)
    rotation: int = 0
    aspect: Fraction | None = None
    options: dict[str, str] = field(default_factory=lambda: {"crf": "0", "preset": "ultrafast"})
    audio: Sequence[str] = ()
    audio_seconds: float | None = None
    audio_codec: str = "aac"
    subtitles: Sequence[tuple[int, int, str]] = ()
    attachment: bytes | None = None
    chapters: Sequence[tuple[int, int, str]] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    shot_length: int | None = None
    picture: Callable[[int, int, int], Image] | None = None
    container_options: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write the file; its suffix determines the format.

        Returns:
            The path.
        """
        with av.open(str(path), "w", options=self.container_options) as output:
            video = self._video_stream(output)
            audio = [self._audio_stream(output, language) for language in self.audio]
            subtitles = self._subtitles(path.with_suffix(".srt")) if self.subtitles else None
            text = None if subtitles is None else output.add_stream_from_template(subtitles.streams[0])
            if self.attachment is not None:
                output.add_attachment("font.ttf", "application/x-truetype-font", self.attachment)
            if self.chapters:
                output.set_chapters(self._chapters())
            output.metadata.update(self.metadata)
            self._write_video(output, video)
            for stream in audio:
                self._write_audio(output, stream)
            if subtitles is not None:
                for packet in subtitles.demux(subtitles.streams[0]):
                    if packet.size:
                        packet.stream = text
                        output.mux(packet)
        return path

    def rgb(self, index: int) -> Image:
        """The picture of a frame."""
        if self.picture is not None:
            return self.picture(index, *self.size)
        shot = 0 if self.shot_length is None else index // self.shot_length
        return moving_picture(index, *self.size, shot)

    def _video_stream(self, output: Any) -> Any:
        stream = output.add_stream(self.codec, rate=self.rate, options=self.options)
        stream.height, stream.width = self.size
        stream.pix_fmt = self.pix_fmt
        if self.time_base is not None:
            stream.codec_context.time_base = self.time_base
        for name, value in self.tags.items():
            setattr(stream.codec_context, name, value)
        if self.aspect is not None:
            stream.codec_context.sample_aspect_ratio = self.aspect
        if self.rotation:
            stream.set_display_rotation(self.rotation)
        return stream

    def _write_video(self, output: Any, stream: Any) -> None:
        base = stream.codec_context.time_base or 1 / self.rate
        for index in range(self.frames):
            picture = av.VideoFrame.from_ndarray(self.rgb(index), format="rgb24")
            picture = picture.reformat(format=self.pix_fmt)
            step = round(1 / self.rate / base)
            picture.pts = index * step if self.pts is None else self.pts[index]
            picture.time_base = base
            for name, value in self.tags.items():
                setattr(picture, name, value)
            output.mux(stream.encode(picture))
        output.mux(stream.encode())

    def _audio_stream(self, output: Any, language: str) -> Any:
        stream = output.add_stream(self.audio_codec, rate=48000, layout="mono")
        stream.metadata["language"] = language
        return stream

    def _write_audio(self, output: Any, stream: Any) -> None:
        seconds = float(self.frames / self.rate) if self.audio_seconds is None else self.audio_seconds
        t = np.arange(int(48000 * seconds)) / 48000
        wave = (0.3 * np.sin(2 * np.pi * 440 * t))[None].astype(np.float32)
        for start in range(0, wave.shape[1], 960):
            samples = av.AudioFrame.from_ndarray(wave[:, start : start + 960], format="fltp", layout="mono")
            samples.sample_rate = 48000
            samples.time_base = Fraction(1, 48000)
            samples.pts = start
            output.mux(stream.encode(samples))
        output.mux(stream.encode())

    def _chapters(self) -> list[Any]:
        time_base = Fraction(1, 1000)
        return [
            {"id": number, "start": start, "end": end, "time_base": time_base, "metadata": {"title": title}}
            for number, (start, end, title) in enumerate(self.chapters, 1)
        ]

    def _subtitles(self, path: Path) -> Any:
        """Write a SubRip file and open it."""

        def stamp(milliseconds: int) -> str:
            return f"00:00:{milliseconds // 1000:02},{milliseconds % 1000:03}"

        entries = [
            f"{number}\n{stamp(start)} --> {stamp(end)}\n{text}\n\n"
            for number, (start, end, text) in enumerate(self.subtitles, 1)
        ]
        path.write_text("".join(entries))
        return av.open(str(path))


def moving_picture(index: int, height: int, width: int, shot: int = 0) -> Image:
    """A smooth colored pattern that moves slightly from frame to frame and changes from shot to shot."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    phase = 0.3 * index
    channels = [
        0.5 + 0.4 * np.sin(x / (5 + c) + phase + 2.1 * shot * (c + 1)) * np.cos(y / (7 - c) - phase / 2 + shot)
        for c in range(3)
    ]
    base = np.stack(channels, axis=-1)
    if shot % 2:
        base = 1 - 0.6 * base
    return np.asarray(np.round(255 * base.clip(0, 1)), np.uint8)


def decode(path: Path) -> list[av.VideoFrame]:
    """All frames of the first video stream; raises an error for damaged ones."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def times(path: Path) -> list[Fraction]:
    """Presentation times in seconds."""
    return [time_of(frame) for frame in decode(path)]


def time_of(frame: av.VideoFrame) -> Fraction:
    """Presentation time in seconds."""
    assert frame.pts is not None
    assert frame.time_base is not None
    return frame.pts * Fraction(frame.time_base)


def planes(frame: av.VideoFrame) -> list[npt.NDArray[np.int64]]:
    """Samples of a frame, ``(height, width)`` for each plane; packed RGB is one plane ``(height, width, 3)``."""
    if frame.format.name in ("bgr0", "rgb24"):
        return [frame.to_ndarray(format="rgb24").astype(np.int64)]
    bytes_per_sample = 2 if frame.format.components[0].bits > 8 else 1
    result = []
    for index, plane in enumerate(frame.planes):
        component = frame.format.components[index]
        samples = np.frombuffer(memoryview(plane), np.dtype(f"<u{bytes_per_sample}"))
        rows = samples.reshape(component.height, plane.line_size // bytes_per_sample)
        result.append(rows[:, : component.width].astype(np.int64))
    return result


def psnr(first: av.VideoFrame, second: av.VideoFrame) -> float:
    """PSNR of two 8-bit frames in RGB, in dB."""
    a, b = (frame.to_ndarray(format="rgb24").astype(float) for frame in (first, second))
    mean_square = float(((a - b) ** 2).mean())
    return float(10 * np.log10(255**2 / max(1e-9, mean_square)))
