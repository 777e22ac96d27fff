"""Small videos for tests, made with PyAV alone: everything about them is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BT709 = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
BT601 = {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 1}
HDR10 = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}


@dataclass
class Clip:
    """What a test video should be; ``write`` makes it."""

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
    picture: Callable[[int, int, int], np.ndarray] | None = None
    container_options: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Make the file."""
        with av.open(str(path), "w", options=self.container_options) as output:
            video = self._video_stream(output)
            sounds = [self._audio_stream(output, language) for language in self.audio]
            subtitles = self._subtitles(path.with_suffix(".srt")) if self.subtitles else None
            words = None if subtitles is None else output.add_stream_from_template(subtitles.streams[0])
            if self.attachment is not None:
                output.add_attachment("font.ttf", "application/x-truetype-font", self.attachment)
            if self.chapters:
                output.set_chapters(
                    [
                        {
                            "id": n,
                            "start": a,
                            "end": b,
                            "time_base": Fraction(1, 1000),
                            "metadata": {"title": t},
                        }
                        for n, (a, b, t) in enumerate(self.chapters, 1)
                    ]
                )
            output.metadata.update(self.metadata)
            self._write_video(output, video)
            for stream in sounds:
                self._write_audio(output, stream)
            if subtitles is not None:
                for packet in subtitles.demux(subtitles.streams[0]):
                    if packet.size:
                        packet.stream = words
                        output.mux(packet)
        return path

    def rgb(self, index: int) -> np.ndarray:
        """The picture of a frame, ``(H, W, 3)`` uint8."""
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
            samples.sample_rate, samples.time_base, samples.pts = 48000, Fraction(1, 48000), start
            output.mux(stream.encode(samples))
        output.mux(stream.encode())

    def _subtitles(self, path: Path) -> Any:
        """A SubRip file, opened."""

        def stamp(milliseconds: int) -> str:
            return f"00:00:{milliseconds // 1000:02},{milliseconds % 1000:03}"

        entries = [
            f"{number}\n{stamp(start)} --> {stamp(end)}\n{text}\n\n"
            for number, (start, end, text) in enumerate(self.subtitles, 1)
        ]
        path.write_text("".join(entries))
        return av.open(str(path))


def moving_picture(index: int, height: int, width: int, shot: int = 0) -> np.ndarray:
    """A smooth colored pattern that moves a little every frame; every shot has its own colors."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    phase = 0.3 * index
    channels = [
        0.5 + 0.4 * np.sin(x / (5 + c) + phase + 2.1 * shot * (c + 1)) * np.cos(y / (7 - c) - phase / 2 + shot)
        for c in range(3)
    ]
    base = np.stack(channels, axis=-1)
    if shot % 2:
        base = 1 - 0.6 * base
    return np.round(255 * base.clip(0, 1)).astype(np.uint8)


def decode(path: Path) -> list[av.VideoFrame]:
    """All frames of the first video stream, strictly."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def times(path: Path) -> list[Fraction]:
    """When frames are shown, in seconds."""
    return [frame.pts * frame.time_base for frame in decode(path)]


def planes(frame: av.VideoFrame) -> list[np.ndarray]:
    """Samples of a frame as integers, packed RGB in one plane."""
    if frame.format.name in ("bgr0", "rgb24"):
        return [frame.to_ndarray(format="rgb24").astype(int)]
    depth = 2 if frame.format.components[0].bits > 8 else 1
    result = []
    for index, plane in enumerate(frame.planes):
        component = frame.format.components[index]
        samples = np.frombuffer(memoryview(plane), np.uint16 if depth == 2 else np.uint8)
        rows = samples.reshape(component.height, plane.line_size // depth)
        result.append(rows[:, : component.width].astype(int))
    return result


def psnr(first: av.VideoFrame, second: av.VideoFrame) -> float:
    """PSNR of two 8-bit frames in RGB."""
    a, b = (frame.to_ndarray(format="rgb24").astype(float) for frame in (first, second))
    return float(10 * np.log10(255**2 / max(1e-9, ((a - b) ** 2).mean())))
