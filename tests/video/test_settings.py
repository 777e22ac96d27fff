"""Encoder settings follow the source as far as codec and container allow."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import pytest

from ls3d.errors import InputError
from ls3d.video import CODECS, Color, Encoder, EncoderSettings, VideoInfo, choose_settings, layout_of
from ls3d.video.properties import MasteringDisplay
from ls3d.video.settings import pixel_notes

BT709 = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
MASTERING = MasteringDisplay(
    primaries=(8500, 39850, 6550, 2300, 35400, 14600, 15635, 16450),
    luminance=(10_000_000, 50),
    light_level=(1000, 400),
)


def info(codec: str = "h264", pix_fmt: str = "yuv420p", **changes: Any) -> VideoInfo:
    """Properties of a source."""
    layout = layout_of(pix_fmt)
    source = VideoInfo(
        name="in",
        container="matroska",
        codec=codec,
        width=64,
        height=48,
        color=Color(layout, 0 if layout.family == "rgb" else 1, full_range=layout.family == "rgb"),
        tags=BT709,
        display_matrix=None,
        rotation=0,
        sample_aspect_ratio=Fraction(1),
        rate=Fraction(25),
        base_rate=Fraction(25),
        time_base=Fraction(1, 1000),
        start=Fraction(0),
        duration=None,
        frames=None,
        chroma_location="",
        field_order="",
        alpha=False,
        index=0,
        disposition=0,
        streams=(),
    )
    return replace(source, **changes)


def choose(source: VideoInfo, container: str = "matroska", **options: Any) -> EncoderSettings:
    arguments = {"size": (48, 64), "time_base": Fraction(1, 1000), "rate": Fraction(25), **options}
    return choose_settings(source, container, **arguments)


@pytest.mark.parametrize(
    ("source", "container", "expected"),
    [
        ("hevc", "matroska", "hevc"),
        ("av1", "mp4", "av1"),
        ("mpeg2video", "matroska", "h264"),
        ("h264", "webm", "vp9"),
        ("huffyuv", "matroska", "ffv1"),
        ("rawvideo", "avi", "ffv1"),
        ("ffv1", "mp4", "h264"),
        ("prores", "mov", "prores"),
        ("prores", "mp4", "h264"),
        ("vp9", "mov", "h264"),
        ("av1", "mpegts", "h264"),
        ("hevc", "images", "png"),
        ("hevc", "y4m", "y4m"),
    ],
)
def test_the_codec_is_that_of_the_source_where_possible(source: str, container: str, expected: str) -> None:
    assert choose(info(source), container).codec == expected


def test_a_codec_can_be_asked_for_if_the_container_holds_it() -> None:
    assert choose(info(), codec="x265").codec == "hevc"
    with pytest.raises(InputError, match="codec ffv1: a mp4 file can't hold it") as caught:
        choose(info(), "mp4", codec="ffv1")
    assert caught.value.argument == "codec"


def test_no_codec_for_a_container() -> None:
    with pytest.raises(InputError, match="a gif file can hold none of the codecs"):
        choose(info(), "gif")


def test_size_timing_and_shape() -> None:
    source = info(sample_aspect_ratio=Fraction(4, 3))
    settings = choose(source, size=(96, 128), time_base=Fraction(1, 90_000), rate=Fraction(50))
    assert (settings.height, settings.width) == (96, 128)
    assert (settings.time_base, settings.rate, settings.sample_aspect_ratio) == (
        Fraction(1, 90_000),
        Fraction(50),
        Fraction(4, 3),
    )


def test_rationals_fit_into_those_of_ffmpeg() -> None:
    settings = choose(info(), time_base=Fraction(1, 2**33 + 1), rate=Fraction(10**9 + 7, 33_366_700))
    assert settings.time_base.denominator < 2**31
    assert settings.rate.denominator < 2**16
    assert abs(settings.rate - Fraction(10**9 + 7, 33_366_700)) < 1e-6


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9"])
def test_quality(codec: str) -> None:
    assert choose(info(), codec=codec).options["crf"] == str(CODECS[codec].crf)
    assert choose(info(), codec=codec, crf=0).options["crf"] == "0"
    assert choose(info(), codec=codec, crf=30).options["crf"] == "30"


@pytest.mark.parametrize("codec", ["ffv1", "prores"])
def test_codecs_without_a_quality_refuse_one(codec: str) -> None:
    assert "crf" not in choose(info(), "mov" if codec == "prores" else "matroska", codec=codec).options
    with pytest.raises(InputError, match=f"crf 3: {codec} has no constant rate factor") as caught:
        choose(info(), codec=codec, crf=3)
    assert caught.value.argument == "crf"


def test_tables_of_codecs_are_not_changed() -> None:
    before = {name: dict(codec.options) for name, codec in CODECS.items()}
    for codec in ("h264", "hevc", "av1"):
        choose(info(mastering=MASTERING), codec=codec, threads=2, crf=1)
    assert {name: dict(codec.options) for name, codec in CODECS.items()} == before


@pytest.mark.parametrize(
    ("codec", "threads", "expected"),
    [
        ("h264", 3, {"threads": "3"}),
        ("ffv1", 3, {"threads": "3"}),
        ("av1", 3, {"svtav1-params": "lp=3"}),
        ("hevc", 3, {"x265-params": "log-level=error:pools=3:frame-threads=1"}),
        ("hevc", 1, {"x265-params": "log-level=error:pools=none:frame-threads=1:wpp=0"}),
        ("h264", 0, {}),
    ],
)
def test_number_of_threads(codec: str, threads: int, expected: dict[str, str]) -> None:
    options = choose(info(), codec=codec, threads=threads).options
    assert expected.items() <= options.items()
    assert threads or "threads" not in options


def test_avi_has_no_reordered_frames() -> None:
    assert choose(info(), "avi", codec="h264").options["bf"] == "0"
    assert "bf" not in choose(info(), "mp4", codec="h264").options


@pytest.mark.parametrize(("pix_fmt", "profile"), [("yuv420p", "3"), ("yuv444p", "4")])  # 422 HQ, 4444
def test_profile_of_prores(pix_fmt: str, profile: str) -> None:
    assert choose(info(pix_fmt=pix_fmt), "mov", codec="prores").options["profile"] == profile


@pytest.mark.parametrize(
    ("codec", "option", "expected"),
    [
        (
            "hevc",
            "x265-params",
            "log-level=error:master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50)"
            ":max-cll=1000,400",
        ),
        (
            "h264",
            "x264-params",
            "mbtree=0:mastering-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50)"
            ":cll=1000,400",
        ),
        (
            "av1",
            "svtav1-params",
            "mastering-display=G(0.17,0.797)B(0.131,0.046)R(0.708,0.292)WP(0.3127,0.329)L(1000.0,0.005)"
            ":content-light=1000,400",
        ),
    ],
)
def test_hdr_metadata_in_the_syntax_of_each_encoder(codec: str, option: str, expected: str) -> None:
    assert choose(info(mastering=MASTERING), codec=codec).options[option] == expected


def test_incomplete_hdr_metadata() -> None:
    only_light_level = info(mastering=MasteringDisplay(light_level=(1000, 400)))
    assert choose(only_light_level, codec="h264").options["x264-params"] == "mbtree=0:cll=1000,400"
    only_luminance = info(mastering=MasteringDisplay(luminance=(10_000_000, 50)))
    assert choose(only_luminance, codec="h264").options["x264-params"] == "mbtree=0"
    assert "svtav1-params" not in choose(info(), codec="av1").options
    assert dict(choose(info(mastering=MASTERING), codec="ffv1").options) == dict(CODECS["ffv1"].options)


@pytest.mark.parametrize(
    ("source", "codec", "container", "matrix", "full", "tags"),
    [
        ("yuv420p", "h264", "mp4", 1, False, BT709),
        ("gbrp", "ffv1", "matroska", 0, True, BT709),
        ("gbrp", "h264", "mp4", 1, False, {**BT709, "colorspace": 1, "color_range": 1}),
        ("yuv420p", None, "images", 0, True, {**BT709, "colorspace": 0, "color_range": 2}),
    ],
)
def test_color_follows_the_source_unless_the_samples_are_of_another_kind(
    source: str, codec: str | None, container: str, matrix: int, full: bool, tags: dict[str, int]
) -> None:
    settings = choose(info(pix_fmt=source), container, codec=codec)
    assert (settings.color.matrix, settings.color.full_range) == (matrix, full)
    assert settings.tags == tags
    assert layout_of(settings.pix_fmt) == settings.color.layout


def test_siting_follows_the_source() -> None:
    color = Color(layout_of("yuv420p"), 9, full_range=False, cosited=(True, True))
    assert choose(info(color=color)).color == color


@pytest.mark.parametrize(
    ("source", "container", "codec", "depth"),
    [
        ("vp9", "webm", "av1", 10),
        ("vp9", "matroska", "av1", 10),
        ("hevc", "webm", "av1", 10),
        ("av1", "mov", "h264", 10),
    ],
)
def test_a_codec_is_chosen_that_keeps_ten_bits(source: str, container: str, codec: str, depth: int) -> None:
    settings = choose(info(source, "yuv420p10le"), container)
    assert (settings.codec, settings.color.layout.depth) == (codec, depth)


def test_what_the_pixel_format_loses_is_said() -> None:
    source = info("hevc", "yuv444p10le")
    assert pixel_notes(source, choose(source)) == []
    expected = "pixel format yuv444p10le becomes yuv444p with vp9, 10 bits become 8"
    assert pixel_notes(source, choose(source, codec="vp9")) == [expected]
    assert pixel_notes(source, choose(source, codec="av1")) == ["pixel format yuv444p10le becomes yuv420p10le with av1"]
    images = replace(info("png", "gbrp"), container="images")
    assert pixel_notes(images, choose(images, codec="av1")) == []


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_png_has_full_range(pix_fmt: str) -> None:
    settings = choose(info("h264", pix_fmt), "images")
    assert settings.color.full_range
    assert settings.tags["color_range"] == 2


def test_av1_above_its_highest_rate_can_be_opened() -> None:
    rate = Fraction(480)
    encoder = Encoder(choose(info("av1"), rate=rate, time_base=1 / rate))
    picture = av.VideoFrame(64, 48, "yuv420p")
    packets = [packet for n in range(3) for packet in encoder.encode(picture, n)] + encoder.flush()
    assert [packet.pts for packet in packets] == [0, 1, 2]


def test_fields_are_marked_if_the_lines_stay() -> None:
    source = info(field_order="bottom")
    assert choose(source, fields=True).options["x264-params"].endswith("bff=1")
    assert "bff" not in choose(source).options["x264-params"]


def test_chroma_siting_is_passed_on() -> None:
    source = info("hevc", chroma_location="topleft")
    assert choose(source).options["chroma_sample_location"] == "topleft"
    assert "chroma_sample_location" not in choose(source, "y4m").options
