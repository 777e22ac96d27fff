"""Encoder settings that follow the source: codec, pixel format, color tags and HDR metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from av.video.codeccontext import VideoCodecContext

from ls3d.errors import InputError
from ls3d.video.alpha import has_alpha
from ls3d.video.codecs import CODECS, check_encoder, codec_of, family_of, holds_alpha, nearest_pixel_format
from ls3d.video.color import Color, untagged_matrix
from ls3d.video.containers import needs_global_header, supports_codec
from ls3d.video.names import codec_named
from ls3d.video.pixels import FULL_RANGE, LIMITED_RANGE, Layout, layout_of
from ls3d.video.properties import UNSPECIFIED_TAGS, MasteringDisplay, VideoInfo

_MAX_DENOMINATOR = 2**31 - 1  # of FFmpeg's AVRational
_MAX_RATE_DENOMINATOR = 65535  # MPEG-4 and MOV store rates in 16 bits
_LOSSLESS = frozenset({"ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "v210", "magicyuv", "qtrle", "png"})

# Matrices in H.273.
_RGB = 0
_BT709 = 1


class _HdrOption(NamedTuple):
    """The option of an encoder that takes HDR metadata, and its keys for mastering display and light level."""

    option: str
    display_key: str
    light_level_key: str


_HDR_OPTIONS = {
    "hevc": _HdrOption("x265-params", "master-display", "max-cll"),
    "h264": _HdrOption("x264-params", "mastering-display", "cll"),
    "av1": _HdrOption("svtav1-params", "mastering-display", "content-light"),
}


#: Bits per sample that are kept by changing the codec, where the source's own can't be written with them.
_KEPT_DEPTH = 10

#: Frames per second above which an encoder refuses to work; a lower rate in its headers changes nothing else.
_HIGHEST_RATE = {"av1": Fraction(240)}

#: Options of the encoders that can mark fields, by codec and by the field shown first.
_FIELD_OPTIONS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "h264": {"top": {"x264-params": "tff=1"}, "bottom": {"x264-params": "bff=1"}},
    "prores": {
        "top": {"flags": "+ildct", "field_order": "tt"},
        "bottom": {"flags": "+ildct", "field_order": "bb"},
    },
    "ffv1": {"top": {"field_order": "tt"}, "bottom": {"field_order": "bb"}},
}

#: Largest constant rate factor of the encoders that don't go up to 63.
_HIGHEST_CRF = {"h264": 51, "hevc": 51}
_MAX_CRF = 63


@dataclass(frozen=True)
class EncoderSettings:
    """Everything that an encoder's output depends on: equal settings and pictures give equal packets.

    Attributes:
        codec: a key of ``CODECS``, or a hardware encoder.
        color: of the pictures.
        pix_fmt: the encoder's pixel format: the pictures' layout, or the same samples packed.
        width: in samples.
        height: in samples.
        time_base: seconds per tick of the times of pictures and packets.
        rate: nominal frame rate, for rate control and headers.
        options: options for FFmpeg's encoder.
        tags: color tags, named as in ``VideoInfo.tags``.
        sample_aspect_ratio: width of a sample divided by its height.
        global_header: whether the container's header holds the parameter sets, instead of the packets.
        requested: further options for the encoder, which the user asks for.
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
    requested: Mapping[str, str] = field(default_factory=dict)

    @property
    def encoder_name(self) -> str:
        """FFmpeg's name of the encoder; empty for raw samples."""
        return codec_of(self.codec).encoder

    def encoder_options(self) -> dict[str, str]:
        """All options for FFmpeg's encoder. Requested ones replace others, or are appended to a list of parameters."""
        options = dict(self.options)
        for key, value in self.requested.items():
            if key.endswith("-params"):
                _add_options(options, {key: value})
            else:
                options[key] = value
        return options

    @property
    def alpha(self) -> bool:
        """Whether the pictures have an alpha channel."""
        return has_alpha(self.pix_fmt)

    @property
    def layered(self) -> bool:
        """Whether the packets have a second layer, which holds the alpha channel."""
        return self.codec == "vp9" and self.alpha

    def apply(self, context: VideoCodecContext) -> None:
        """Set size, pixel format, timing and color tags of a codec context."""
        context.width = self.width
        context.height = self.height
        context.pix_fmt = self.pix_fmt
        context.time_base = self.time_base
        context.framerate = min(self.rate, _HIGHEST_RATE.get(self.codec, self.rate))
        context.sample_aspect_ratio = self.sample_aspect_ratio
        for name, value in self.tags.items():
            setattr(context, name, value)


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
    fields: bool = False,
    encoder_options: Mapping[str, str] | None = None,
) -> EncoderSettings:
    """Choose settings that follow the source as far as codec and container allow.

    Args:
        info: properties of the source.
        container: FFmpeg's name of the output format, or ``"y4m"`` or ``"images"``.
        size: height and width of the output.
        time_base: seconds per tick of the output's times.
        rate: nominal frame rate of the output.
        codec: a key of ``CODECS``, an alias, or a hardware encoder; by default the source's own where possible.
        crf: constant rate factor; lower means better quality and larger files. By default the codec's own in
            ``CODECS``.
        threads: number of threads of the encoder; 0 lets it choose.
        fields: whether the lines of the output are those of the source, so that interlaced video stays interlaced.
        encoder_options: further options for FFmpeg's encoder.

    Raises:
        InputError: the codec is unknown, the container can't hold it, or ``crf`` is given and it has no such setting.
    """
    name = _choose_codec(info, container, size, codec)
    if encoder_options and not codec_of(name).encoder:
        raise InputError(f"{next(iter(encoder_options))}: {name} has no encoder", argument="encoder_options")
    alpha = info.alpha and holds_alpha(container, name)
    pix_fmt = nearest_pixel_format(info.color, name, size, alpha)
    color, tags = _choose_color(info, layout_of(pix_fmt), name)
    if tags["colorspace"] == UNSPECIFIED_TAGS["colorspace"] and color.matrix not in (_RGB, untagged_matrix(*size)):
        tags["colorspace"] = color.matrix  # players would infer another one from the new size
    options = _choose_options(name, container, color, crf, threads, info.mastering)
    if alpha and name == "vp9":
        options["auto-alt-ref"] = "0"  # frames that are not shown can't be matched with those of the second layer
    if fields and info.field_order:
        _add_options(options, _FIELD_OPTIONS.get(name, {}).get(info.field_order, {}))
    if info.chroma_location and color.layout.subsampling == info.color.layout.subsampling and codec_of(name).encoder:
        options["chroma_sample_location"] = info.chroma_location
    return EncoderSettings(
        codec=name,
        color=color,
        pix_fmt=pix_fmt,
        width=size[1],
        height=size[0],
        time_base=time_base.limit_denominator(_MAX_DENOMINATOR),
        rate=rate.limit_denominator(_MAX_RATE_DENOMINATOR),
        options=options,
        tags=tags,
        sample_aspect_ratio=info.sample_aspect_ratio,
        global_header=needs_global_header(container),
        requested=dict(encoder_options or {}),
    )


def keeps_fields(info: VideoInfo, codec: str) -> bool:
    """Whether ``choose_settings`` can mark the fields of an interlaced source in the output.

    Args:
        info: properties of the source.
        codec: of the output.
    """
    return bool(info.field_order) and codec in _FIELD_OPTIONS


def pixel_notes(info: VideoInfo, settings: EncoderSettings) -> list[str]:
    """What the output's pixel format loses: sentences if it has fewer bits, coarser chroma, no color or no alpha.

    Images are RGB, so that any common video has coarser chroma: that is not worth a sentence.
    """
    notes = []
    if info.alpha and not settings.alpha:
        notes.append(f"transparency left out: {settings.codec} in this format can't hold it")
    before, after = info.color.layout, settings.color.layout
    coarser = info.container != "images" and any(
        new > old for new, old in zip(after.subsampling, before.subsampling, strict=True)
    )
    gray = after.family == "gray" != before.family
    if after.depth >= before.depth and not coarser and not gray:
        return notes
    bits = f", {before.depth} bits become {after.depth}" if after.depth < before.depth else ""
    return [*notes, f"pixel format {before.name} becomes {after.name} with {settings.codec}{bits}"]


def _add_options(options: dict[str, str], added: Mapping[str, str]) -> None:
    """Add options in place; those that are lists of parameters are appended to."""
    for key, value in added.items():
        options[key] = f"{options[key]}:{value}" if key in options else value


def _choose_codec(info: VideoInfo, container: str, size: tuple[int, int], requested: str | None) -> str:
    if container == "y4m":
        return "y4m"
    if container == "images":
        return "png"
    if requested is not None:
        name = codec_named(requested)
        check_encoder(name)
        if not supports_codec(container, name):
            message = f"{name}: a {container} file can't hold it; choose another codec or another suffix"
            raise InputError(message, argument="codec")
        return name
    own = "ffv1" if info.codec in _LOSSLESS else info.codec
    successor = ("av1",) if own == "vp9" else ()
    with_alpha = ("vp9", "prores", "ffv1") if info.alpha else ()
    candidates = dict.fromkeys((own, *successor, "h264", "vp9", "hevc", "av1", *with_alpha))
    usable = [name for name in candidates if name in CODECS and supports_codec(container, name)]
    if not usable:
        raise InputError(f"a {container} file can hold none of the codecs {', '.join(CODECS)}")

    def losses(name: str) -> tuple[bool, int]:
        return info.alpha and not holds_alpha(container, name), _lost_depth(info.color, name, size)

    best: str = min(usable, key=losses)  # the first of those that lose least
    return best


def _lost_depth(color: Color, codec: str, size: tuple[int, int]) -> int:
    """How many of the first 10 bits per sample a codec can't hold."""
    depth = layout_of(nearest_pixel_format(color, codec, size)).depth
    return max(0, min(color.layout.depth, _KEPT_DEPTH) - depth)


def _choose_color(info: VideoInfo, layout: Layout, codec: str) -> tuple[Color, dict[str, int]]:
    """Color and tags of the output: the source's own where the layout allows. PNG has no limited range."""
    source = info.color
    tags = dict(info.tags)
    if codec == "png" and layout.family == source.layout.family:
        tags.update(color_range=FULL_RANGE)
        return Color(layout, source.matrix, full_range=True, cosited=source.cosited), tags
    if layout.family == source.layout.family == "rgb":
        return Color(layout, source.matrix, source.full_range), tags
    if layout.family == "rgb":
        tags.update(colorspace=_RGB, color_range=FULL_RANGE)
        return Color(layout, _RGB, full_range=True), tags
    if source.layout.family != "rgb":
        return Color(layout, source.matrix, source.full_range, source.cosited), tags
    tags.update(colorspace=_BT709, color_range=LIMITED_RANGE)
    return Color(layout, _BT709, full_range=False), tags


def _choose_options(
    codec: str, container: str, color: Color, crf: int | None, threads: int, mastering: MasteringDisplay
) -> dict[str, str]:
    """Options for FFmpeg's encoder."""
    options = dict(codec_of(codec).options)
    default_crf = codec_of(codec).crf
    highest = _HIGHEST_CRF.get(family_of(codec), _MAX_CRF)
    if crf is not None and crf > highest:
        raise InputError(f"{crf}: expected at most {highest} for {codec}", argument="crf")
    if default_crf is not None:
        options.update(dict.fromkeys(codec_of(codec).quality, str(default_crf if crf is None else crf)))
    elif crf is not None:
        raise InputError(f"{crf}: {codec} has no constant rate factor", argument="crf")
    if threads and codec_of(codec).encoder:
        options.update(_thread_options(codec, threads, options))
    if container == "avi" and family_of(codec) == "h264":
        options["bf"] = "0"  # AVI stores no timestamps, so frames can't be reordered
    if codec == "prores":
        options["profile"] = "4" if color.layout.subsampling == (0, 0) else "3"
    metadata = _hdr_parameters(codec, mastering)
    if metadata:
        option = _HDR_OPTIONS[codec].option
        options[option] = ":".join([*filter(None, [options.get(option)]), *metadata])
    return options


def _thread_options(codec: str, threads: int, options: Mapping[str, str]) -> dict[str, str]:
    if codec == "hevc":
        limit = f"pools={threads}:frame-threads=1" if threads > 1 else "pools=none:frame-threads=1:wpp=0"
        return {"x265-params": f"{options['x265-params']}:{limit}"}
    if codec == "av1":
        return {"svtav1-params": f"lp={threads}"}
    return {"threads": str(threads)}


def _hdr_parameters(codec: str, mastering: MasteringDisplay) -> list[str]:
    """HDR metadata as ``key=value`` of the encoder's own option; empty if there is none or it takes none."""
    if codec not in _HDR_OPTIONS:
        return []
    parameters = []
    if mastering.primaries and mastering.luminance:
        display = _mastering_display(mastering.primaries, mastering.luminance, fractions=codec == "av1")
        parameters.append(f"{_HDR_OPTIONS[codec].display_key}={display}")
    if mastering.light_level:
        maximum, average = mastering.light_level
        parameters.append(f"{_HDR_OPTIONS[codec].light_level_key}={maximum},{average}")
    return parameters


def _mastering_display(primaries: Sequence[float], luminance: Sequence[float], fractions: bool) -> str:
    """``G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)``, in the units of ``MasteringDisplay`` or as fractions for SVT-AV1."""
    if fractions:
        primaries = [value / 50_000 for value in primaries]
        luminance = [value / 10_000 for value in luminance]
    points = zip(("G", "B", "R", "WP"), primaries[::2], primaries[1::2], strict=True)
    return "".join(f"{name}({x},{y})" for name, x, y in points) + f"L({luminance[0]},{luminance[1]})"
