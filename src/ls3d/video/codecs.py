"""The codecs that can be written, their default options and their pixel formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import av

from ls3d.errors import InputError
from ls3d.video.alpha import has_alpha, is_writable
from ls3d.video.names import HARDWARE_CODECS, UnusableEncoderError
from ls3d.video.pixels import Layout, layout_of

if TYPE_CHECKING:
    from ls3d.video.color import Color


@dataclass(frozen=True)
class Codec:
    """A codec.

    Attributes:
        encoder: FFmpeg's name of the encoder; empty for raw samples.
        crf: default constant rate factor; None if the codec has none (lossless or intra-frame codecs).
        options: options for FFmpeg's encoder.
        family: the codec whose packets the encoder makes; a key of ``CODECS``. Empty for that of its own name.
        quality: the encoder's options that take the rate factor.
    """

    encoder: str
    crf: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    family: str = ""
    quality: tuple[str, ...] = ("crf",)


# x264's macroblock tree is switched off: its assembly code occasionally produces different bytes for the same frames,
# and it saves bits on frames that no other frame refers to, which may be the source's own.
#: Codecs by name. The default rate factors are low: source frames are reproduced at about 40 dB PSNR.
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

#: Options of hardware encoders, by interface, and those that take the rate factor. They have other scales than x264's.
_INTERFACES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "nvenc": ({"preset": "p5", "rc": "vbr", "b": "0"}, ("cq",)),
    "qsv": ({"preset": "slow"}, ("global_quality",)),
    "amf": ({"quality": "quality", "rc": "cqp"}, ("qp_i", "qp_p")),
    "vaapi": ({"rc_mode": "CQP"}, ("global_quality",)),
    "videotoolbox": ({"flags": "+qscale", "global_quality": "8260"}, ()),  # 70 of 100, in FFmpeg's units of 1/118
}
_HARDWARE_CRF = {"h264": 17, "hevc": 19, "av1": 22}


def _hardware_codec(name: str) -> Codec:
    family, interface = name.split("_")
    options, quality = _INTERFACES[interface]
    return Codec(name, _HARDWARE_CRF[family] if quality else None, options, family, quality)


_HARDWARE = {name: _hardware_codec(name) for name in HARDWARE_CODECS}


def codec_of(name: str) -> Codec:
    """The codec of this name.

    Args:
        name: a key of ``CODECS``, or one of ``ls3d.video.names.HARDWARE_CODECS``.
    """
    return _HARDWARE[name] if name in _HARDWARE else CODECS[name]


def is_hardware(name: str) -> bool:
    """Whether the codec of this name is a hardware encoder."""
    return name in _HARDWARE


def family_of(name: str) -> str:
    """The key of ``CODECS`` whose packets the codec of this name makes."""
    return codec_of(name).family or name


def check_encoder(name: str) -> None:
    """Check that FFmpeg has an encoder that takes pictures in main memory.

    Raises:
        UnusableEncoderError: it has not.
    """
    if name not in _HARDWARE:
        return
    try:
        formats = av.Codec(name, "w").video_formats or ()
    except ValueError as error:
        present = [each for each in HARDWARE_CODECS if each in av.codec.codecs_available]
        message = f"{name}: this FFmpeg has no such encoder; of hardware encoders it has {', '.join(present) or 'none'}"
        raise UnusableEncoderError(message, argument="codec") from error
    if all(each.name == name.split("_")[1] for each in formats):
        message = f"{name}: it takes pictures in the memory of the GPU only, expected another"
        raise UnusableEncoderError(message, argument="codec")


#: Codecs with an alpha channel, and containers that hold alpha in a second layer.
_ALPHA_CODECS = ("prores", "ffv1", "png")
_LAYERED_CONTAINERS = ("matroska", "webm")

_Y4M_FORMATS = ("yuv420p", "yuv422p", "yuv444p", "gray")


def pixel_formats(codec: str) -> list[str]:
    """FFmpeg's names of the pixel formats that a codec's encoder accepts.

    Args:
        codec: a key of ``CODECS``.
    """
    if codec == "y4m":
        return [*_Y4M_FORMATS, *(f"{name}{depth}le" for name in _Y4M_FORMATS for depth in (10, 12))]
    return [each.name for each in av.Codec(codec_of(codec).encoder, "w").video_formats or ()]


def holds_alpha(container: str, codec: str) -> bool:
    """Whether a codec in a container format can hold an alpha channel.

    Args:
        container: FFmpeg's name of the format, or ``"y4m"`` or ``"images"``.
        codec: a key of ``CODECS``.
    """
    if codec == "vp9":  # which has no alpha of its own
        return container in _LAYERED_CONTAINERS
    return codec in _ALPHA_CODECS


def nearest_pixel_format(source: Color, codec: str, size: tuple[int, int], alpha: bool = False) -> str:
    """The pixel format of a codec that loses least of the source's samples and, of several, wastes least.

    Args:
        source: of the source's samples.
        codec: a key of ``CODECS``, or a hardware encoder.
        size: height and width of the output.
        alpha: whether it must have an alpha channel.
    """
    wanted = source.layout
    if wanted.family == "rgb" and codec not in ("png", "ffv1"):
        wanted = layout_of("yuv420p10le" if wanted.depth > 8 else "yuv420p")
    usable = [name for name in pixel_formats(codec) if _is_usable(name, codec, size, alpha)]
    return min(usable, key=lambda name: _mismatch(name, wanted))


def _mismatch(name: str, wanted: Layout) -> tuple[int, ...]:
    """How far a pixel format is from a layout, worst kind of mismatch first."""
    layout = layout_of(name)
    subsampling = list(zip(layout.subsampling, wanted.subsampling, strict=True))
    loses_color = layout.family == "gray" != wanted.family
    return (
        loses_color,
        layout.family != wanted.family,
        max(0, wanted.depth - layout.depth),
        sum(max(0, own - theirs) for own, theirs in subsampling),
        max(0, layout.depth - wanted.depth),
        sum(max(0, theirs - own) for own, theirs in subsampling),
        layout.name != name,
    )


def _is_usable(name: str, codec: str, size: tuple[int, int], alpha: bool) -> bool:
    """Whether pictures of this size can be encoded in a pixel format (H.264 and HEVC crop by whole chroma samples)."""
    try:
        layout = layout_of(name)
    except InputError:
        return False
    height, width = size
    horizontal, vertical = layout.subsampling
    divisible = width % (1 << horizontal) == 0 and height % (1 << vertical) == 0
    pixel_format = av.VideoFormat(name)
    plain = not pixel_format.has_palette and not name.startswith(("yuvj", "mono")) and "msb" not in name
    if alpha:
        suits = has_alpha(name) and is_writable(name) and (codec != "vp9" or name == "yuva420p")  # as players decode
    else:
        suits = not has_alpha(name)
    return plain and suits and (divisible or family_of(codec) not in ("h264", "hevc"))
