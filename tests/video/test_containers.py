"""Formats of files: their names against FFmpeg's own, what they hold against what can be written and read back."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from helpers.encoding import encode, rewrite, settings_for
from helpers.videos import BT709, Clip, decode, planes

from ls3d.errors import InputError
from ls3d.video import container_of, probe
from ls3d.video.containers import needs_global_header, supports_codec


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "ts", "m2ts", "mts"])
def test_names_are_those_that_ffmpeg_chooses_for_the_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film.{suffix.upper()}"
    with av.open(str(path), "w") as output:
        assert container_of(path) == output.format.name
    assert container_of(str(path)) == container_of(path)


def test_suffixes_that_differ_from_ffmpeg() -> None:
    assert container_of("film.m4v") == "mp4"
    assert container_of("film.y4m") == "y4m"


@pytest.mark.parametrize(("name", "found"), [("film.xyz", r"suffix \.xyz"), ("film", "name without suffix")])
def test_other_suffixes_are_refused(name: str, found: str) -> None:
    with pytest.raises(InputError, match=f"{name}: {found} is not a video format; expected one of .mp4"):
        container_of(name)


CODECS = ["h264", "hevc", "av1", "vp9", "prores", "ffv1"]
CONTAINERS = {
    "mp4": ["h264", "hevc", "av1", "vp9"],
    "mov": ["h264", "hevc", "prores"],
    "mkv": CODECS,
    "webm": ["av1", "vp9"],
    "avi": ["h264", "ffv1"],
    "ts": ["h264", "hevc"],
}


@pytest.mark.parametrize(("suffix", "codec"), [(suffix, codec) for suffix in CONTAINERS for codec in CODECS])
def test_supported_codecs_can_be_read_back(tmp_path: Path, suffix: str, codec: str) -> None:
    target = tmp_path / f"out.{suffix}"
    supported = supports_codec(container_of(target), codec)
    if codec in CONTAINERS[suffix]:
        assert supported
    if not supported:
        return
    source = Clip(3, (64, 96), tags=BT709).write(tmp_path / "in.mkv")
    rewrite(source, target, codec)
    assert probe(target).codec == codec
    old, new = decode(source), decode(target)
    assert len(new) == 3
    for before, after in zip(old, new, strict=True):
        difference = planes(before)[0] - planes(after.reformat(format="yuv420p"))[0]
        assert np.sqrt((difference**2).mean()) < 4


@pytest.mark.parametrize(("container", "codec"), [("mp4", "prores"), ("mp4", "ffv1"), ("mpegts", "av1")])
def test_combinations_that_common_players_cannot_open_are_not_supported(container: str, codec: str) -> None:
    assert not supports_codec(container, codec)


def start_code_units(data: bytes) -> list[int]:
    """Types of the H.264 NAL units of a byte stream."""
    return [part[0] & 31 for part in data.split(b"\x00\x00\x01")[1:]]


@pytest.mark.parametrize(("suffix", "in_header"), [("mp4", True), ("mkv", True), ("ts", False), ("avi", False)])
def test_parameter_sets_are_where_the_format_wants_them(tmp_path: Path, suffix: str, in_header: bool) -> None:
    source = Clip(2).write(tmp_path / "in.mkv")
    settings = settings_for(source, tmp_path / f"out.{suffix}", "h264")
    assert settings.global_header == in_header
    first = encode(settings, decode(source), [0, 40])[0]
    assert (7 in start_code_units(first.data)) == (not in_header)  # NAL unit type 7: sequence parameter set


def test_formats_without_a_header_need_none() -> None:
    assert not needs_global_header("y4m")
    assert not needs_global_header("images")
