"""What a video file holds, found by opening it and decoding its first frame."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType

from ls3d.errors import InputError
from ls3d.video.color import Color
from ls3d.video.pixels import planar

_MICROSECOND = Fraction(1, 1_000_000)


@dataclass(frozen=True)
class StreamInfo:
    """A stream: its place in the file, its type (``"audio"``, ...), codec and metadata."""

    index: int
    type: str
    codec: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MasteringDisplay:
    """SMPTE ST 2086 and CTA-861.3 metadata of an HDR video, in the units that encoders take.

    Attributes:
        primaries: x and y of green, blue, red and white, in units of 1/50000.
        luminance: greatest and least luminance, in 1/10000 candela per square metre.
        light_level: MaxCLL and MaxFALL, in candela per square metre.
    """

    primaries: tuple[int, ...] | None = None
    luminance: tuple[int, int] | None = None
    light_level: tuple[int, int] | None = None


@dataclass(frozen=True)
class VideoInfo:
    """A video: its picture, its clock, and everything else in its file.

    Attributes:
        name: path, or what stands for it.
        container: FFmpeg's name of the format.
        codec: of the video stream, for example ``"hevc"``.
        width: in coded samples, before rotation and sample aspect ratio.
        height: likewise.
        color: how samples stand for colors.
        tags: matrix, primaries, transfer and range as H.273 numbers, as the file has them (2 and 0: not
            told).
        rotation: degrees counter-clockwise, as the display matrix says.
        sample_aspect_ratio: width to height of a sample.
        rate: average frame rate.
        time_base: of the video stream.
        start: when the file's clock begins, in seconds.
        duration: of the file in seconds, None where it isn't told.
        frames: as the file claims or duration and rate suggest; None where nothing is known.
        interlaced: whether the first frame says so.
        alpha: whether there is a transparency channel, which is not read.
        index: of the video stream.
        streams: all streams.
        chapters: as PyAV gives them.
        metadata: of the file.
        stream_metadata: of the video stream.
        mastering: HDR metadata, if any.
        seekable: whether the file can be read from the middle.
    """

    name: str
    container: str
    codec: str
    width: int
    height: int
    color: Color
    tags: Mapping[str, int]
    rotation: int
    sample_aspect_ratio: Fraction
    rate: Fraction
    time_base: Fraction
    start: Fraction
    duration: Fraction | None
    frames: int | None
    interlaced: bool
    alpha: bool
    index: int
    streams: tuple[StreamInfo, ...]
    chapters: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    stream_metadata: Mapping[str, str] = field(default_factory=dict)
    mastering: MasteringDisplay = MasteringDisplay()
    seekable: bool = True


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Everything that is known of a video file.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is no video, or not a frame of it can be decoded.
    """
    with open_container(path) as container:
        stream = main_video_stream(container, str(path))
        picture = first_picture(container, stream, str(path))
        return describe(container, stream, picture, str(path))


def open_container(path: str | os.PathLike[str], **options: Any) -> av.container.InputContainer:
    """Open a file with FFmpeg, whose errors become sentences.

    Raises:
        OSError: the file isn't there or can't be read.
        InputError: no demuxer knows it.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected a video file")
    if path.stat().st_size == 0 and path.is_file():
        raise InputError(f"{path} is empty; expected a video")
    try:
        return av.open(str(path), metadata_errors="replace", **options)
    except PermissionError as error:
        raise PermissionError(f"{path}: no permission to read it") from error
    except av.FFmpegError as error:
        raise InputError(f"{path} is not a video that can be read ({error.strerror})") from error


def main_video_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The video stream to work on: the first that isn't a cover picture.

    Raises:
        InputError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None:
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise InputError(f"{name} has no video stream that can be decoded (it holds {kinds})")


def first_picture(container: av.container.InputContainer, stream: av.VideoStream, name: str) -> av.VideoFrame:
    """The first frame that decodes, errors before it passed over; the container is read up to there.

    Raises:
        InputError: no frame decodes.
    """
    try:
        for packet in container.demux(stream):
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                continue
            if pictures:
                return pictures[0]
    except av.FFmpegError as error:
        raise InputError(f"{name}: no frame can be decoded ({error.strerror})") from error
    raise InputError(f"{name}: no frame can be decoded")


def describe(
    container: av.container.InputContainer, stream: av.VideoStream, picture: av.VideoFrame, name: str
) -> VideoInfo:
    """The facts about an open file of which one picture is decoded."""
    interlaced, rotation = bool(picture.interlaced_frame), picture.rotation
    alpha = any(component.is_alpha for component in picture.format.components)
    mastering, tags = _mastering(picture), _tags(stream, picture)
    picture = planar(picture)
    picture.colorspace, picture.color_range = tags["colorspace"], tags["color_range"]
    time_base = stream.time_base or Fraction(1, 90_000)
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
    duration = _duration(container, stream)
    return VideoInfo(
        name=name,
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        width=picture.width,
        height=picture.height,
        color=Color.of(picture),
        tags=tags,
        rotation=rotation,
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        rate=Fraction(rate),
        time_base=Fraction(time_base),
        start=(container.start_time or 0) * _MICROSECOND,
        duration=duration,
        frames=stream.frames or (round(duration * rate) if duration else None),
        interlaced=interlaced,
        alpha=alpha,
        index=stream.index,
        streams=tuple(_stream_info(each) for each in container.streams),
        chapters=tuple(container.chapters()),
        metadata=dict(container.metadata),
        stream_metadata=dict(stream.metadata),
        mastering=mastering,
    )


def _stream_info(stream: av.stream.Stream) -> StreamInfo:
    codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""
    return StreamInfo(stream.index, stream.type, codec, dict(stream.metadata))


def _duration(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    if stream.duration and stream.time_base:
        return stream.duration * Fraction(stream.time_base)
    return container.duration * _MICROSECOND if container.duration else None


def _tags(stream: av.VideoStream, picture: av.VideoFrame) -> dict[str, int]:
    """Color tags of the frame, or of the stream where the frame has none."""
    context, tags = stream.codec_context, {}
    for name in ("colorspace", "color_primaries", "color_trc", "color_range"):
        unknown = 0 if name == "color_range" else 2
        own = int(getattr(picture, name))
        tags[name] = own if own != unknown else int(getattr(context, name))
    if picture.format.name.startswith("yuvj"):
        tags["color_range"] = 2
    return tags


def _side_data(picture: av.VideoFrame) -> list[SideData]:
    container: Any = picture.side_data
    return [container[index] for index in range(len(container))]


def _mastering(picture: av.VideoFrame) -> MasteringDisplay:
    """Read FFmpeg's AVMasteringDisplayMetadata and AVContentLightMetadata from a frame's side data."""
    primaries = luminance = light_level = None
    for data in _side_data(picture):
        if data.type == SideDataType.MASTERING_DISPLAY_METADATA:
            values = struct.unpack_from("=20i2i", bytes(data))
            ratios = [Fraction(n, d) if d else Fraction(0) for n, d in zip(values[:20:2], values[1:20:2], strict=True)]
            red, green, blue, white = (ratios[i : i + 2] for i in (0, 2, 4, 6))
            if values[20]:
                primaries = tuple(round(50_000 * v) for v in (*green, *blue, *red, *white))
            if values[21]:
                luminance = (round(10_000 * ratios[9]), round(10_000 * ratios[8]))
        elif data.type == SideDataType.CONTENT_LIGHT_LEVEL:
            maximum, average = struct.unpack_from("=2I", bytes(data))
            light_level = (maximum, average)
    return MasteringDisplay(primaries, luminance, light_level)
