"""Encoded pictures, decoded by FFmpeg, are the pictures that were encoded."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from helpers.encoding import encode, segment_of, settings_for
from helpers.videos import BT709, HDR10, Clip, decode, planes, psnr, time_of

from ls3d.video import (
    Encoder,
    EncoderSettings,
    Packet,
    TimeRange,
    VideoFile,
    choose_settings,
    from_rgb,
    probe,
    to_rgb,
    write_container,
)

CODECS = ["h264", "hevc", "av1", "vp9", "prores", "ffv1"]


def write(target: Path, settings: EncoderSettings, packets: list[Packet], end: int, source: Path) -> None:
    """Write packets to a Matroska file."""
    write_container(target, "matroska", settings, [segment_of(packets, end)], probe(source), None, TimeRange())


def clip(folder: Path, pix_fmt: str = "yuv420p", frames: int = 6, size: tuple[int, int] = (64, 96)) -> Path:
    """A lossless source."""
    return Clip(frames, size, "ffv1", pix_fmt, options={"level": "3"}, tags=BT709).write(folder / "in.mkv")


def pictures_of(path: Path) -> list[av.VideoFrame]:
    """Pictures in a planar format."""
    return [frame.picture for frame in VideoFile(path).frames()]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv410p", "yuv420p10le", "gray", "bgr0"])
def test_ffv1_keeps_every_sample(tmp_path: Path, pix_fmt: str) -> None:
    source = clip(tmp_path, pix_fmt)
    settings = settings_for(source, tmp_path / "out.mkv", "ffv1")
    packets = encode(settings, pictures_of(source), range(0, 240, 40))
    write(tmp_path / "out.mkv", settings, packets, 240, source)
    for old, new in zip(decode(source), decode(tmp_path / "out.mkv"), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(planes(old), planes(new), strict=True))


@pytest.mark.parametrize("codec", CODECS)
def test_pictures_and_times_survive_every_codec(tmp_path: Path, codec: str) -> None:
    source = clip(tmp_path)
    settings = settings_for(source, tmp_path / "out.mkv", codec)
    pts = [0, 40, 55, 130, 131, 400]
    write(tmp_path / "out.mkv", settings, encode(settings, pictures_of(source), pts), 440, source)
    new = decode(tmp_path / "out.mkv")
    assert [time_of(frame) for frame in new] == [Fraction(time, 1000) for time in pts]
    for old, frame in zip(decode(source), new, strict=True):
        assert psnr(old, frame.reformat(format=old.format.name)) > 33


@pytest.mark.parametrize("codec", CODECS)
def test_equal_settings_and_pictures_give_equal_packets(tmp_path: Path, codec: str) -> None:
    source = clip(tmp_path)
    settings = settings_for(source, tmp_path / "out.mkv", codec)
    first = encode(settings, pictures_of(source), range(6))
    assert encode(settings, pictures_of(source), range(6)) == first
    assert sorted(packet.pts for packet in first) == list(range(6))
    assert first[0].key


def test_the_same_picture_can_be_encoded_again(tmp_path: Path) -> None:
    source = clip(tmp_path)
    settings = settings_for(source, tmp_path / "out.mkv", "ffv1")
    picture = pictures_of(source)[0]
    packets = encode(settings, [picture] * 3, [0, 40, 80])
    write(tmp_path / "out.mkv", settings, packets, 120, source)
    for frame in decode(tmp_path / "out.mkv"):
        assert np.array_equal(planes(frame)[0], planes(picture)[0])


def test_the_picture_type_of_the_source_is_ignored(tmp_path: Path) -> None:
    """Decoded pictures are labeled I, P or B, and encoders obey such labels."""
    source = Clip(12, options={"crf": "0", "g": "1"}).write(tmp_path / "in.mkv")  # I-frames only
    settings = settings_for(source, tmp_path / "out.mkv", "h264")
    packets = encode(settings, pictures_of(source), range(0, 480, 40))
    assert [packet.key for packet in packets] == [True] + [False] * 11


@pytest.mark.parametrize(
    ("codec", "names"),
    [("h264", list(HDR10)), ("hevc", list(HDR10)), ("vp9", ["colorspace", "color_range"])],
)
def test_color_tags_are_in_the_bitstream(tmp_path: Path, codec: str, names: list[str]) -> None:
    source = clip(tmp_path)
    settings = replace(settings_for(source, tmp_path / "out.mkv", codec), tags=HDR10, global_header=False)
    context = cast(VideoCodecContext, av.CodecContext.create(codec, "r"))
    frames: list[av.VideoFrame] = []
    for packet in encode(settings, pictures_of(source), range(6)):
        frames += context.decode(av.Packet(packet.data))
    frames += context.decode(None)
    assert len(frames) == 6
    assert [getattr(frames[0], name) for name in names] == [HDR10[name] for name in names]


def test_raw_samples_are_the_planes_one_after_the_other(tmp_path: Path) -> None:
    source = clip(tmp_path, size=(47, 95))
    encoder = Encoder(settings_for(source, tmp_path / "out.y4m"))
    for number, picture in enumerate(decode(source)):
        (packet,) = encoder.encode(picture, 40 * number)
        assert packet.data == b"".join(plane.astype(np.uint8).tobytes() for plane in planes(picture))
        assert (packet.pts, packet.key) == (40 * number, True)
    assert encoder.flush() == []


def test_png_images_have_the_colors_of_the_video(tmp_path: Path) -> None:
    """The equations of BT.709, table 3, for limited range."""
    source = clip(tmp_path, "yuv444p", frames=1)
    info = probe(source)
    settings = choose_settings(info, "images", size=(64, 96), time_base=Fraction(1, 25), rate=Fraction(25))
    (picture,) = pictures_of(source)
    y_codes, cb_codes, cr_codes = planes(picture)
    y = (y_codes - 16) / 219
    red = y + 1.5748 * (cr_codes - 128) / 224
    blue = y + 1.8556 * (cb_codes - 128) / 224
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    expected = 255 * np.stack([red, green, blue], axis=-1).clip(0, 1)

    (packet,) = encode(settings, [from_rgb(to_rgb(picture, info.color), settings.color)], [0])
    (tmp_path / "a.png").write_bytes(packet.data)
    (image,) = decode(tmp_path / "a.png")
    assert image.format.name == "rgb24"
    assert np.abs(image.to_ndarray() - expected).max() < 0.501
