"""Hardware encoders and requested options: what is refused, with which sentence, and what is passed to the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import pytest
from helpers.videos import Clip, decode

from ls3d.enhance import EnhanceOptions, denoise
from ls3d.errors import InputError, OutputExistsError
from ls3d.video import EncoderSettings, choose_settings, probe
from ls3d.video.codecs import pixel_formats
from ls3d.video.encoder_trial import try_encoder
from ls3d.video.names import HARDWARE_CODECS, codec_named, read_encoder_options

PRESENT = [name for name in HARDWARE_CODECS if name in av.codec.codecs_available]
MISSING = [name for name in HARDWARE_CODECS if name not in PRESENT]


def settings_for(
    folder: Path, codec: str, requested: Mapping[str, str] | None = None, crf: int | None = None
) -> EncoderSettings:
    return choose_settings(
        probe(Clip(1, size=(240, 320)).write(folder / "in.mp4")),
        "matroska",
        size=(240, 320),
        time_base=Fraction(1, 25),
        rate=Fraction(25),
        codec=codec,
        crf=crf,
        encoder_options=requested,
    )


@pytest.mark.parametrize("name", PRESENT)
def test_hardware_encoders_work_or_say_why_not(tmp_path: Path, name: str) -> None:
    settings = settings_for(tmp_path, codec_named(name.upper()))
    assert settings.pix_fmt in pixel_formats(name)
    assert "msb" not in settings.pix_fmt
    known = {option.name for option in av.CodecContext.create(name, "w").supported_options.private}
    generic = {"b", "flags", "global_quality", "chroma_sample_location"}
    assert set(settings.options) <= known | generic
    refused = None
    try:
        assert try_encoder(settings)
    except InputError as error:
        refused = error
    if refused is not None:
        assert str(refused).startswith(f"codec {name}: it can't encode 320 x 240")
        assert "on this machine (" in str(refused)


@pytest.mark.parametrize("name", MISSING)
def test_encoders_that_ffmpeg_lacks_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"codec {name}: this FFmpeg has no such encoder") as raised:
        settings_for(tmp_path, name)
    assert all(each in str(raised.value) for each in PRESENT)


def test_the_rate_factor_of_hardware_encoders(tmp_path: Path) -> None:
    if "hevc_nvenc" in PRESENT:
        assert settings_for(tmp_path, "hevc_nvenc", crf=30).options["cq"] == "30"
        with pytest.raises(InputError, match="crf 60: expected at most 51"):
            settings_for(tmp_path, "hevc_nvenc", crf=60)


@pytest.mark.parametrize(
    ("codec", "requested", "message"),
    [
        ("h264", {"presett": "fast"}, "presett: the encoder libx264 has no such option"),
        ("h264", {"preset": "quick"}, "preset=quick: the encoder libx264 refuses it"),
        ("h264", {"crf": "many"}, "crf=many: the encoder libx264 refuses it"),
        ("h264", {"x264-params": "keyin=9"}, "x264-params=keyin=9: the encoder libx264 ignores some of it"),
        ("hevc", {"x265-params": "keyin=9"}, "x265-params=keyin=9: the encoder libx265 ignores some of it"),
        ("av1", {"svtav1-params": "keyin=9"}, "svtav1-params=keyin=9: the encoder libsvtav1 ignores some of it"),
        ("ffv1", {"crf": "3"}, "crf: the encoder ffv1 has no such option"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, codec: str, requested: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as raised:
        try_encoder(settings_for(tmp_path, codec, requested))
    assert str(raised.value).startswith(f"encoder_options {message}")


def test_right_options_are_accepted(tmp_path: Path) -> None:
    assert try_encoder(settings_for(tmp_path, "h264", {"preset": "ultrafast", "x264-params": "keyint=9"}))
    both = settings_for(tmp_path, "h264", {"x264-params": "keyint=9"}).encoder_options()
    assert both["x264-params"] == "mbtree=0:keyint=9"


def test_options_reach_the_encoder(tmp_path: Path) -> None:
    source = Clip(20).write(tmp_path / "in.mp4")
    options = EnhanceOptions(codec="h264", encoder_options={"g": "5", "bf": "0"})
    denoise(source, tmp_path / "out.mp4", model="identity", options=options)
    assert [n for n, frame in enumerate(decode(tmp_path / "out.mp4")) if frame.key_frame] == [0, 5, 10, 15]


@pytest.mark.parametrize("target", ["out.mp4", "images", "out.y4m"])
def test_wrong_options_are_refused_before_the_work(tmp_path: Path, target: str) -> None:
    source = Clip(2).write(tmp_path / "in.mp4")
    frames: list[object] = []
    with pytest.raises(InputError, match=r"encoder_options typo: .* no "):
        denoise(
            source,
            tmp_path / target,
            model="identity",
            options=EnhanceOptions(encoder_options={"typo": "1"}),
            progress=frames.append,
        )
    assert frames == []


def test_options_are_read_from_text() -> None:
    assert read_encoder_options("preset=slow, x264-params=keyint=9:bframes=2") == {
        "preset": "slow",
        "x264-params": "keyint=9:bframes=2",
    }
    for text in ("", "preset", "preset=", "=slow", "preset=slow,"):
        with pytest.raises(InputError, match="expected key=value"):
            read_encoder_options(text)


def test_other_options_are_another_job(tmp_path: Path) -> None:
    source = Clip(4).write(tmp_path / "in.mp4")
    options = EnhanceOptions(codec="h264", encoder_options={"preset": "fast"})
    denoise(source, tmp_path / "out.mp4", model="identity", options=options)
    assert denoise(source, tmp_path / "out.mp4", model="identity", options=options).finished_before
    with pytest.raises(OutputExistsError):
        denoise(source, tmp_path / "out.mp4", model="identity", options=EnhanceOptions(codec="h264"))
