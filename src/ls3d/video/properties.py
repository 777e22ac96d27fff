"""Properties of a video file, found by opening it and decoding its first frame."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType

from ls3d.errors import InputError
from ls3d.video._pyav_internals import chroma_location, first_field, side_data
from ls3d.video.alpha import has_alpha_layer, is_transparent, layer_decoder
from ls3d.video.color import Color
from ls3d.video.decoding import first_pictures
from ls3d.video.names import DEFAULT_MAX_PIXELS
from ls3d.video.opening import open_video
from ls3d.video.packet_times import first_packet_times
from ls3d.video.pixels import FULL_RANGE, planar

_MICROSECOND = Fraction(1, 1_000_000)  # FFmpeg's AV_TIME_BASE
_TIMED_PACKETS = 500  # whose times are compared
_MAX_REORDERING = 16  # packets; the times of the last ones read may be incomplete
_EVEN = Fraction(1, 5)  # of the distance of two frames: larger differences from it are not called even
_LOWEST_RATE = Fraction(1, 86_400)  # frames per second
_HIGHEST_RATE = 1_000_000
# FFmpeg's AVFieldOrder: which field is coded first, and which is shown first.
_TOP_FIELD_FIRST = (2, 5)
_BOTTOM_FIELD_FIRST = (3, 4)
# Formats of images whose "interlacing" is an order of storage.
_PROGRESSIVE_CODECS = ("png", "apng", "gif", "webp")
#: Values of the color tags that say nothing.
UNSPECIFIED_TAGS = {"colorspace": 2, "color_primaries": 2, "color_trc": 2, "color_range": 0}  # FFmpeg's numbers


@dataclass(frozen=True)
class StreamInfo:
    """A stream of a file.

    Attributes:
        index: its number in the file, from 0.
        type: ``"video"``, ``"audio"``, ``"subtitle"``, ``"data"`` or ``"attachment"``.
        codec: FFmpeg's name; empty where FFmpeg knows no codec for it.
        metadata: language, title, ...
    """

    index: int
    type: str
    codec: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Number, type and codec, for messages."""
        return f"stream {self.index} ({self.type}{', ' + self.codec if self.codec else ''})"


@dataclass(frozen=True)
class MasteringDisplay:
    """SMPTE ST 2086 and CTA-861.3 metadata of an HDR video, in the units of HEVC's SEI messages.

    Attributes:
        primaries: x and y of green, blue, red and white, in units of 1/50000.
        luminance: maximum and minimum luminance, in 1/10000 candela per square meter.
        light_level: MaxCLL and MaxFALL, in candela per square meter.
    """

    primaries: tuple[int, ...] | None = None
    luminance: tuple[int, int] | None = None
    light_level: tuple[int, int] | None = None


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video: its pictures, its timing, and the other streams of its file.

    Attributes:
        name: path of the file, or another name for messages.
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the video codec, for example ``"hevc"``.
        width: in samples, before rotation and sample aspect ratio are applied.
        height: in samples, likewise.
        color: how samples represent colors.
        tags: ``colorspace`` (matrix), ``color_primaries``, ``color_trc`` (transfer) as H.273 numbers, 2 meaning
            unspecified, and ``color_range`` as FFmpeg's number, 0 meaning unspecified.
        display_matrix: the nine numbers of FFmpeg's display matrix, which rotates or mirrors; None if there is none.
        rotation: degrees counterclockwise, from the display matrix.
        sample_aspect_ratio: width of a sample divided by its height.
        rate: average frame rate, in frames per second.
        base_rate: lowest frame rate that represents all times, by FFmpeg's estimate; more than ``rate`` if the frame
            rate is variable.
        time_base: seconds per tick of the video stream.
        start: first timestamp of the file, in seconds.
        duration: in seconds; None if the file doesn't state it.
        frames: number of frames that the file states, or that duration and rate suggest; None if unknown.
        chroma_location: FFmpeg's name of the chroma siting, for example ``"topleft"``; empty if not stated.
        field_order: ``"top"`` or ``"bottom"``, the field of an interlaced video that is shown first; empty for
            progressive video.
        alpha: whether there is a transparency channel, in the pictures or in a second layer.
        index: of the video stream.
        disposition: of the video stream, as flags of ``av.stream.Disposition``.
        streams: all streams.
        chapters: as ``av.container.InputContainer.chapters`` returns them.
        metadata: of the file.
        stream_metadata: of the video stream.
        mastering: HDR metadata, if any.
        seekable: whether reading can begin in the middle, and more than once.
    """

    name: str
    container: str
    codec: str
    width: int
    height: int
    color: Color
    tags: Mapping[str, int]
    display_matrix: tuple[int, ...] | None
    rotation: int
    sample_aspect_ratio: Fraction
    rate: Fraction
    base_rate: Fraction
    time_base: Fraction
    start: Fraction
    duration: Fraction | None
    frames: int | None
    chroma_location: str
    field_order: str
    alpha: bool
    index: int
    disposition: int
    streams: tuple[StreamInfo, ...]
    chapters: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    stream_metadata: Mapping[str, str] = field(default_factory=dict)
    mastering: MasteringDisplay = MasteringDisplay()
    seekable: bool = True


def probe(path: str | os.PathLike[str], max_pixels: int = DEFAULT_MAX_PIXELS) -> VideoInfo:
    """Read the properties of a video file.

    Args:
        path: the file.
        max_pixels: a file with larger pictures is refused before one is decoded.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is not a video, or no frame of it can be decoded.
    """
    with open_video(path, max_pixels) as (container, stream):
        picture = first_pictures(container, stream, str(path), layer_decoder(stream)).pictures[0]
        return describe(container, stream, picture, str(path))


def has_variable_rate(path: str | os.PathLike[str], rate: Fraction) -> bool:
    """Whether the first frames of a video are not evenly spaced; nothing is decoded.

    Args:
        path: a video file.
        rate: its average frame rate.

    Raises:
        InputError: it is not a video.
    """
    times, time_base = first_packet_times(path, _TIMED_PACKETS)
    steps = [after - before for before, after in pairwise(times[:-_MAX_REORDERING] if len(times) > 50 else times)]
    return any(abs(step - 1 / rate) > max(2 * time_base, _EVEN / rate) for step in steps)


def describe(
    container: av.container.InputContainer, stream: av.VideoStream, picture: av.VideoFrame, name: str
) -> VideoInfo:
    """Collect the properties of an open file.

    Args:
        container: the file.
        stream: its main video stream.
        picture: the first picture of this stream.
        name: of the file, for messages.

    Raises:
        InputError: the file states an impossible frame rate.
    """
    tags = _tags(stream, picture)
    location = chroma_location(picture)
    time_base = stream.time_base or Fraction(1, 90_000)
    rate = _rate(stream, name)
    duration = _duration(container, stream)
    return VideoInfo(
        name=name,
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        width=picture.width,
        height=picture.height,
        color=_color(picture, tags, location),
        tags=tags,
        display_matrix=_display_matrix(picture),
        rotation=picture.rotation,
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        rate=rate,
        base_rate=Fraction(stream.base_rate or rate),
        time_base=Fraction(time_base),
        start=(container.start_time or 0) * _MICROSECOND,
        duration=duration,
        frames=stream.frames or (round(duration * rate) if duration else None),
        chroma_location=location,
        field_order=_field_order(stream, picture),
        alpha=is_transparent(picture) or has_alpha_layer(stream),
        index=stream.index,
        disposition=int(stream.disposition),
        streams=tuple(_stream_info(each) for each in container.streams),
        chapters=tuple(container.chapters()),
        metadata=dict(container.metadata),
        stream_metadata=dict(stream.metadata),
        mastering=_mastering(picture),
    )


def stream_codec(stream: av.stream.Stream) -> str:
    """FFmpeg's name of a stream's codec; empty where it knows none."""
    return stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""


def _stream_info(stream: av.stream.Stream) -> StreamInfo:
    return StreamInfo(stream.index, stream.type, stream_codec(stream), dict(stream.metadata))


def _rate(stream: av.VideoStream, name: str) -> Fraction:
    """The first of the stream's frame rates that is possible; 25 if it states none."""
    stated = [Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    possible = [rate for rate in stated if _LOWEST_RATE <= rate <= _HIGHEST_RATE]
    if stated and not possible:
        limits = f"one a day to {_HIGHEST_RATE:,} a second"
        raise InputError(f"{name} states {float(stated[0]):.3g} frames per second; expected {limits}")
    return possible[0] if possible else Fraction(25)


def _duration(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    if stream.duration and stream.time_base:
        return stream.duration * Fraction(stream.time_base)
    return container.duration * _MICROSECOND if container.duration else None


def _tags(stream: av.VideoStream, picture: av.VideoFrame) -> dict[str, int]:
    """Color tags of the frame, or of the stream where the frame has none."""
    tags = {}
    for name, unspecified in UNSPECIFIED_TAGS.items():
        value = int(getattr(picture, name))
        tags[name] = value if value != unspecified else int(getattr(stream.codec_context, name))
    if picture.format.name.startswith("yuvj"):
        tags["color_range"] = FULL_RANGE
    return tags


def _display_matrix(picture: av.VideoFrame) -> tuple[int, ...] | None:
    matrix = side_data(picture).get(SideDataType.DISPLAYMATRIX)
    return None if matrix is None else struct.unpack_from("=9i", bytes(matrix))


def _field_order(stream: av.VideoStream, picture: av.VideoFrame) -> str:
    """The field shown first, by the stream's field order or the first frame's flags; some codecs have only one."""
    if stream.codec_context.codec.canonical_name in _PROGRESSIVE_CODECS:
        return ""
    order = stream.codec_context.field_order
    if order in _BOTTOM_FIELD_FIRST:
        return "bottom"
    return "top" if order in _TOP_FIELD_FIRST else first_field(picture)


def _color(picture: av.VideoFrame, tags: Mapping[str, int], location: str) -> Color:
    """How the samples of the planar picture represent colors, by the tags of frame and stream."""
    repacked = planar(picture)
    repacked.colorspace = tags["colorspace"]
    repacked.color_range = tags["color_range"]
    return Color.of(repacked, location)


def _mastering(picture: av.VideoFrame) -> MasteringDisplay:
    """HDR metadata from a frame's side data."""
    mastering = MasteringDisplay()
    found = side_data(picture)
    display = found.get(SideDataType.MASTERING_DISPLAY_METADATA)
    if display is not None:
        mastering = _read_mastering_display(display)
    light_level = found.get(SideDataType.CONTENT_LIGHT_LEVEL)
    if light_level is not None:
        maximum, average = struct.unpack_from("=2I", bytes(light_level))  # AVContentLightMetadata
        mastering = replace(mastering, light_level=(maximum, average))
    return mastering


def _read_mastering_display(data: SideData) -> MasteringDisplay:
    """Read FFmpeg's AVMasteringDisplayMetadata.

    It is ten rationals (x and y of red, green, blue and white; minimum and maximum luminance) and two flags that say
    whether the primaries and the luminance are set.
    """
    values = struct.unpack_from("=20i2i", bytes(data))
    pairs = zip(values[:20:2], values[1:20:2], strict=True)
    numbers = [Fraction(numerator, denominator) if denominator else Fraction(0) for numerator, denominator in pairs]
    red, green, blue, white = (numbers[i : i + 2] for i in (0, 2, 4, 6))
    minimum, maximum = numbers[8:]
    has_primaries, has_luminance = values[20:]
    return MasteringDisplay(
        tuple(round(50_000 * value) for value in (*green, *blue, *red, *white)) if has_primaries else None,
        (round(10_000 * maximum), round(10_000 * minimum)) if has_luminance else None,
    )
