"""Names of codecs and their pixel formats, against FFmpeg's own lists."""

from __future__ import annotations

import av
import pytest

from ls3d.errors import InputError
from ls3d.video import CODECS, Color, layout_of
from ls3d.video.codecs import nearest_pixel_format, pixel_formats
from ls3d.video.names import codec_named


def nearest(source: str, codec: str, size: tuple[int, int] = (48, 64)) -> str:
    return nearest_pixel_format(Color(layout_of(source), 1, full_range=False), codec, size)


@pytest.mark.parametrize("name", CODECS)
def test_ffmpeg_has_the_encoder_of_every_codec(name: str) -> None:
    if CODECS[name].encoder:
        codec = av.Codec(CODECS[name].encoder, "w")
        assert codec.canonical_name == name
        formats = codec.video_formats
        assert formats is not None
        assert pixel_formats(name) == [each.name for each in formats]


@pytest.mark.parametrize(
    ("name", "key"), [("H264", "h264"), ("avc", "h264"), ("x265", "hevc"), ("libx265", "hevc"), ("FFV1", "ffv1")]
)
def test_aliases(name: str, key: str) -> None:
    assert codec_named(name) == key


@pytest.mark.parametrize("name", ["flash", "png", "y4m", ""])
def test_other_names_are_refused_with_the_choices(name: str) -> None:
    choices = r"^codec .*: expected one of h264, hevc, av1, vp9, prores, ffv1, or a hardware encoder"
    with pytest.raises(InputError, match=choices) as caught:
        codec_named(name)
    assert caught.value.argument == "codec"


SOURCES = ["gray", "gray10le", "yuv410p", "yuv411p", "yuv420p", "yuv422p", "yuv440p", "yuv444p", "yuv420p10le"]
SOURCES += ["yuv422p10le", "yuv444p12le", "yuv420p16le", "gbrp", "gbrp10le", "gbrp16le"]


@pytest.mark.parametrize("source", SOURCES)
def test_ffv1_loses_nothing(source: str) -> None:
    chosen, wanted = layout_of(nearest(source, "ffv1")), layout_of(source)
    assert chosen.family == wanted.family
    assert chosen.depth >= wanted.depth
    assert all(own <= theirs for own, theirs in zip(chosen.subsampling, wanted.subsampling, strict=True))


@pytest.mark.parametrize(
    ("source", "codec", "expected"),
    [
        ("yuv420p", "h264", "yuv420p"),
        ("yuv422p10le", "h264", "yuv422p10le"),
        ("yuv420p10le", "hevc", "yuv420p10le"),
        ("yuv420p12le", "h264", "yuv420p10le"),
        ("yuv444p", "av1", "yuv420p"),
        ("yuv420p", "prores", "yuv422p10le"),
        ("yuv444p12le", "prores", "yuv444p10le"),
        ("yuv411p", "vp9", "yuv422p"),
        ("yuv440p", "vp9", "yuv440p"),
        ("gray", "h264", "gray"),
        ("gbrp", "h264", "yuv420p"),
        ("gbrp10le", "hevc", "yuv420p10le"),
        ("gbrp", "png", "rgb24"),
        ("gbrp16le", "png", "rgb48be"),
        ("gray", "png", "gray"),
        ("yuv420p", "png", "rgb24"),
        ("yuv420p10le", "png", "rgb48be"),
        ("yuv422p10le", "y4m", "yuv422p10le"),
        ("yuv411p", "y4m", "yuv422p"),
    ],
)
def test_nearest_pixel_format(source: str, codec: str, expected: str) -> None:
    assert nearest(source, codec) == expected


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_odd_sizes_need_a_format_without_subsampled_chroma(codec: str) -> None:
    assert nearest("yuv420p", codec, (37, 64)) == "yuv422p"
    assert nearest("yuv420p", codec, (36, 51)) == "yuv444p"
    assert nearest("yuv420p", "vp9", (37, 51)) == "yuv420p"
