"""Encoders: which one, with what settings, and pictures in, packets out.

Codec, pixel format and color tags follow the source unless told otherwise. An encoder knows no file: its
packets can be kept and put into a container later, by whoever opens the same encoder for the container's
header.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from ls3d.errors import InputError
from ls3d.video.color import Color
from ls3d.video.pixels import FULL_RANGE, LIMITED_RANGE, Layout, layout_of, planes_of
from ls3d.video.probe import MasteringDisplay, VideoInfo

_GLOBAL_HEADER = 0x40  # AVFMT_GLOBALHEADER
_LARGEST_DENOMINATOR = 2**31 - 1  # of FFmpeg's rational numbers


@dataclass(frozen=True)
class Codec:
    """What the project knows of a codec: FFmpeg's encoder, its default quality and its options.

    Attributes:
        encoder: FFmpeg's name.
        crf: default constant rate factor; None where the codec has none (lossless or intra).
        options: of the encoder.
    """

    encoder: str
    crf: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)


# x264's macroblock tree (in assembly) gives other bytes now and then for the same frames, and starves the frames
# that none refers to, which may be the source's own: it is off.
#: By the name that a user gives. Default qualities are high: source frames come back at 40 dB or so.
CODECS: dict[str, Codec] = {
    "h264": Codec("libx264", 13, {"preset": "medium", "x264-params": "mbtree=0"}),
    "hevc": Codec("libx265", 15, {"preset": "medium", "x265-params": "log-level=error"}),
    "av1": Codec("libsvtav1", 20, {"preset": "8"}),
    "vp9": Codec("libvpx-vp9", 22, {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}),
    "prores": Codec("prores_ks", None, {"vendor": "apl0"}),
    "ffv1": Codec("ffv1", None, {"level": "3", "slicecrc": "1"}),
    "png": Codec("png"),
    "y4m": Codec(""),
}
_ALIASES = {
    "h265": "hevc",
    "x265": "hevc",
    "x264": "h264",
    "avc": "h264",
    "libx264": "h264",
    "libx265": "hevc",
}
_LOSSLESS = frozenset({"ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "v210", "magicyuv", "qtrle", "png"})
_Y4M_FORMATS = ("yuv420p", "yuv422p", "yuv444p", "gray")


@dataclass(frozen=True)
class EncoderSettings:
    """Everything that an encoder is opened with; equal settings make equal packets.

    Attributes:
        codec: a key of ``CODECS``.
        color: of the pictures.
        pix_fmt: what the encoder itself takes: the pictures' layout, or the same samples packed.
        width: in samples.
        height: in samples.
        time_base: of times of pictures and packets.
        rate: nominal frame rate, for rate control and headers.
        options: for FFmpeg's encoder.
        tags: color tags, by the names of ``VideoInfo.tags``.
        sample_aspect_ratio: width to height of a sample.
        global_header: whether parameter sets go to the container's header.
    """

    codec: str
    color: Color
    pix_fmt: str
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    options: Mapping[str, str]
    tags: Mapping[str, int]
    sample_aspect_ratio: Fraction = Fraction(1)
    global_header: bool = True

    def apply(self, context: Any) -> None:
        """Set size, format, clock and tags on a codec context or an output stream's."""
        context.width, context.height, context.pix_fmt = self.width, self.height, self.pix_fmt
        context.time_base, context.framerate = self.time_base, self.rate
        context.sample_aspect_ratio = self.sample_aspect_ratio
        for name, value in self.tags.items():
            setattr(context, name, value)


@dataclass(frozen=True)
class Packet:
    """An encoded picture.

    Attributes:
        pts: when it is shown, in ticks of the encoder's time base.
        key: whether decoding can begin here.
        data: its bytes.
    """

    pts: int
    key: bool
    data: bytes


class Encoder:
    """Pictures in, packets out, in decoding order."""

    def __init__(self, settings: EncoderSettings) -> None:
        self.settings = settings
        name = CODECS[settings.codec].encoder
        if settings.codec == "av1":
            os.environ.setdefault("SVT_LOG", "1")  # it writes its settings to standard error otherwise
        self._context = cast(VideoCodecContext, av.CodecContext.create(name, "w")) if name else None
        if self._context is not None:
            settings.apply(self._context)
            self._context.options = dict(settings.options)
            if settings.global_header:
                self._context.flags |= int(Flags.global_header)

    def encode(self, picture: av.VideoFrame, pts: int) -> list[Packet]:
        """Give a picture in the settings' layout, to be shown at ``pts`` ticks; it may be given again."""
        if self._context is None:
            return [Packet(pts, True, _raw(picture))]
        if picture.format.name != self.settings.pix_fmt:
            picture = picture.reformat(format=self.settings.pix_fmt)
        picture.pts, picture.time_base = pts, self.settings.time_base
        picture.duration = 0
        picture.pict_type = PictureType.NONE
        for name, value in self.settings.tags.items():
            setattr(picture, name, value)
        return [_packet(packet) for packet in self._context.encode(picture)]

    def flush(self) -> list[Packet]:
        """The packets that were held back; nothing can be encoded after."""
        return [] if self._context is None else [_packet(packet) for packet in self._context.encode(None)]


def _packet(packet: av.Packet) -> Packet:
    return Packet(int(packet.pts or 0), bool(packet.is_keyframe), bytes(packet))


def _raw(picture: av.VideoFrame) -> bytes:
    return b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes_of(picture))


def choose_settings(
    info: VideoInfo,
    container: str,
    *,
    size: tuple[int, int],
    time_base: Fraction,
    rate: Fraction,
    codec: str | None = None,
    crf: int | None = None,
    threads: int = 0,
) -> EncoderSettings:
    """Settings that follow the source as far as codec and container can.

    Args:
        info: of the source.
        container: FFmpeg's name of the output format, or ``"y4m"`` or ``"images"``.
        size: height and width of the output.
        time_base: that the output times need.
        rate: nominal frame rate of the output.
        codec: a key of ``CODECS``; by default the source's own where possible.
        crf: quality; smaller is better and larger files.
        threads: of the encoder; 0 lets it choose.

    Raises:
        InputError: an unknown codec, one that the container can't hold, or a quality that it hasn't.
    """
    name = _choose_codec(info, container, codec)
    chosen = CODECS[name]
    pix_fmt = _nearest_format(info.color, name, size)
    color, tags = _choose_color(info, layout_of(pix_fmt))
    options = dict(chosen.options)
    if crf is not None and chosen.crf is None:
        raise InputError(f"--crf {crf}: {name} has no quality setting")
    if chosen.crf is not None:
        options["crf"] = str(chosen.crf if crf is None else crf)
    if threads and chosen.encoder:
        options.update(_thread_options(name, threads, options))
    if container == "avi" and name == "h264":
        options["bf"] = "0"  # AVI has no times of its own, so frames can't be reordered
    if name == "prores":
        options["profile"] = "4" if color.layout.subsampling == (0, 0) else "3"
    _add_mastering(options, name, info.mastering)
    return EncoderSettings(
        codec=name,
        color=color,
        pix_fmt=pix_fmt,
        width=size[1],
        height=size[0],
        time_base=time_base.limit_denominator(_LARGEST_DENOMINATOR),
        rate=rate.limit_denominator(65535),
        options=options,
        tags=tags,
        sample_aspect_ratio=info.sample_aspect_ratio,
        global_header=needs_global_header(container),
    )


def needs_global_header(container: str) -> bool:
    """Whether a format keeps parameter sets in its header."""
    if container in ("y4m", "images"):
        return False
    return bool(av.ContainerFormat(container, "w").flags & _GLOBAL_HEADER)


def _thread_options(name: str, threads: int, options: Mapping[str, str]) -> dict[str, str]:
    if name == "hevc":
        limit = f"pools={threads}:frame-threads=1" if threads > 1 else "pools=none:frame-threads=1:wpp=0"
        return {"x265-params": f"{options['x265-params']}:{limit}"}
    if name == "av1":
        return {"svtav1-params": f"lp={threads}"}
    return {"threads": str(threads)}


def _choose_codec(info: VideoInfo, container: str, asked: str | None) -> str:
    if container == "y4m":
        return "y4m"
    if container == "images":
        return "png"
    if asked is not None:
        name = _ALIASES.get(asked.lower(), asked.lower())
        if name not in CODECS or name in ("png", "y4m"):
            known = ", ".join(key for key in CODECS if key not in ("png", "y4m"))
            raise InputError(f"codec {asked!r} is not known; expected one of {known}")
        if not _holds(container, name):
            raise InputError(f"a {container} file can't hold {name}; choose another --codec or another suffix")
        return name
    lossless = "ffv1" if info.codec in _LOSSLESS else info.codec
    for name in (lossless, "h264", "vp9"):
        if name in CODECS and _holds(container, name):
            return name
    raise InputError(f"no known codec fits a {container} file")


def _holds(container: str, codec: str) -> bool:
    if container == "mpegts":
        return codec in ("h264", "hevc")  # its muxer doesn't say
    if container == "mp4" and codec in ("ffv1", "prores"):
        return False  # formally possible, played by nothing
    with av.open(os.devnull, "w", format=container) as output:
        return CODECS[codec].encoder in output.supported_codecs


def _choose_color(info: VideoInfo, layout: Layout) -> tuple[Color, dict[str, int]]:
    """Meaning and tags of the output's samples: the source's own where the layout allows."""
    source, tags = info.color, dict(info.tags)
    if layout.family == source.layout.family == "rgb":
        return Color(layout, source.matrix, source.full_range), tags
    if layout.family == "rgb":
        tags.update(colorspace=0, color_range=FULL_RANGE)
        return Color(layout, 0, True), tags
    if source.layout.family != "rgb":
        return Color(layout, source.matrix, source.full_range, source.cosited), tags
    tags.update(colorspace=1, color_range=LIMITED_RANGE)
    return Color(layout, 1, full_range=False), tags


def _nearest_format(source: Color, codec: str, size: tuple[int, int]) -> str:
    """The encoder's pixel format that loses least of the source's samples, and wastes least."""
    wanted = source.layout
    if wanted.family == "rgb" and codec not in ("png", "ffv1"):
        wanted = layout_of("yuv420p10le" if wanted.depth > 8 else "yuv420p")

    def distance(name: str) -> tuple[int, ...]:
        layout = layout_of(name)
        steps = list(zip(layout.subsampling, wanted.subsampling, strict=True))
        return (
            layout.family != wanted.family,
            max(0, wanted.depth - layout.depth),
            sum(max(0, own - theirs) for own, theirs in steps),
            max(0, layout.depth - wanted.depth),
            sum(max(0, theirs - own) for own, theirs in steps),
            layout.name != name,
        )

    return min((name for name in _formats(codec) if _is_usable(name, codec, size)), key=distance)


def _formats(codec: str) -> list[str]:
    if codec == "y4m":
        return [*_Y4M_FORMATS, *(f"{name}{depth}le" for name in _Y4M_FORMATS for depth in (10, 12))]
    return [each.name for each in av.Codec(CODECS[codec].encoder, "w").video_formats or ()]


def _is_usable(name: str, codec: str, size: tuple[int, int]) -> bool:
    """Whether pictures can be handed over in a format at this size (H.26x crops by chroma samples)."""
    try:
        layout = layout_of(name)
    except InputError:
        return False
    odd = any(side % (1 << step) for side, step in zip(size, layout.subsampling[::-1], strict=True))
    pixel_format = av.VideoFormat(name)
    plain = not pixel_format.has_palette and not name.startswith(("yuvj", "mono"))
    opaque = not any(component.is_alpha for component in pixel_format.components)
    return plain and opaque and not (odd and codec in ("h264", "hevc"))


def _add_mastering(options: dict[str, str], codec: str, mastering: MasteringDisplay) -> None:
    """Pass HDR metadata on, in each encoder's own words."""
    display = ""
    if mastering.primaries and mastering.luminance:
        pairs = zip(mastering.primaries[::2], mastering.primaries[1::2], strict=True)
        scale = 50_000 if codec == "av1" else 1
        luma = [v / 10_000 if codec == "av1" else v for v in mastering.luminance]
        points = [f"{x / scale if scale > 1 else x},{y / scale if scale > 1 else y}" for x, y in pairs]
        names = "".join(f"{name}({point})" for name, point in zip(("G", "B", "R", "WP"), points, strict=True))
        display = f"{names}L({luma[0]},{luma[1]})"
    light = ",".join(map(str, mastering.light_level)) if mastering.light_level else ""
    keys = {
        "hevc": ("x265-params", "master-display", "max-cll"),
        "h264": ("x264-params", "mastering-display", "cll"),
        "av1": ("svtav1-params", "mastering-display", "content-light"),
    }
    if codec not in keys:
        return
    option, display_key, light_key = keys[codec]
    parts = [f"{key}={value}" for key, value in ((display_key, display), (light_key, light)) if value]
    if parts:
        options[option] = ":".join([*filter(None, [options.get(option)]), *parts])


def container_of(path: str | os.PathLike[str]) -> str:
    """FFmpeg's name of the format that a file's suffix stands for.

    Raises:
        InputError: a suffix that stands for no video format.
    """
    suffix = Path(path).suffix.lower()
    known = {
        ".mp4": "mp4",
        ".m4v": "mp4",
        ".mov": "mov",
        ".mkv": "matroska",
        ".webm": "webm",
        ".avi": "avi",
        ".ts": "mpegts",
        ".m2ts": "mpegts",
        ".mts": "mpegts",
        ".y4m": "y4m",
    }
    if suffix not in known:
        raise InputError(f"{path}: {suffix or 'no suffix'!r} is no video format; expected one of {', '.join(known)}")
    return known[suffix]
