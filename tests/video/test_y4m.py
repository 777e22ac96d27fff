"""YUV4MPEG2 as the mjpegtools specify it (yuv4mpeg(5)), and as FFmpeg reads it."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.encoding import encode, settings_for
from helpers.videos import BT709, Clip, decode, planes, time_of

from ls3d.errors import InputError
from ls3d.video import Color, VideoFile, VideoPipe, layout_of, write_y4m, y4m_header

FORMATS = {
    "yuv420p": "420mpeg2",
    "yuv422p": "422",
    "yuv444p": "444",
    "gray": "mono",
    "yuv420p10le": "420p10",
    "yuv422p12le": "422p12",
    "yuv444p10le": "444p10",
    "gray12le": "mono12",
}


def parameters(header: bytes) -> dict[str, str]:
    """The tagged parameters of a header: the signature, then words of a tag and a value, then a newline."""
    assert header.endswith(b"\n")
    signature, *words = header[:-1].decode("ascii").split(" ")
    assert signature == "YUV4MPEG2"
    return {word[0]: word[1:] for word in words}


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_header_and_frames(tmp_path: Path, pix_fmt: str) -> None:
    clip = Clip(3, (47, 95), "ffv1", pix_fmt, Fraction(30000, 1001), options={}, tags=BT709, aspect=Fraction(4, 3))
    source = clip.write(tmp_path / "in.mkv")
    settings = settings_for(source, tmp_path / "out.y4m")
    settings = replace(settings, rate=Fraction(30000, 1001), sample_aspect_ratio=Fraction(4, 3))
    header = y4m_header(settings)
    assert parameters(header) == {
        "W": "95",
        "H": "47",
        "F": "30000:1001",
        "I": "p",
        "A": "4:3",
        "C": FORMATS[pix_fmt],
        "X": "COLORRANGE=LIMITED",
    }
    pictures = [frame.picture for frame in VideoFile(source).frames()]
    file = io.BytesIO(header)
    file.seek(0, io.SEEK_END)
    write_y4m(file, encode(settings, pictures, range(3)))
    samples = sum(height * width for height, width in layout_of(pix_fmt).plane_sizes(47, 95))
    assert len(file.getvalue()) == len(header) + 3 * (len(b"FRAME\n") + samples * layout_of(pix_fmt).dtype.itemsize)

    (tmp_path / "out.y4m").write_bytes(file.getvalue())
    old, new = decode(source), decode(tmp_path / "out.y4m")
    assert [time_of(frame) for frame in new] == [Fraction(1001 * n, 30000) for n in range(3)]
    for before, after in zip(old, new, strict=True):
        assert after.format.name == pix_fmt
        assert all(np.array_equal(a, b) for a, b in zip(planes(before), planes(after), strict=True))


@pytest.mark.parametrize(("tag", "name"), [(0, "LIMITED"), (1, "LIMITED"), (2, "FULL")])
def test_the_range_is_read_back(tmp_path: Path, tag: int, name: str) -> None:
    source = Clip(1).write(tmp_path / "in.mkv")
    settings = replace(settings_for(source, tmp_path / "out.y4m"), tags={"color_range": tag})
    header = y4m_header(settings)
    assert parameters(header)["X"] == f"COLORRANGE={name}"
    body = b"FRAME\n" + bytes(48 * 64 * 3 // 2)
    assert VideoPipe(io.BytesIO(header + body)).info.color.full_range == (tag == 2)


@pytest.mark.parametrize(("cosited", "name"), [((True, False), "420mpeg2"), ((False, False), "420jpeg")])
def test_siting_of_chroma(tmp_path: Path, cosited: tuple[bool, bool], name: str) -> None:
    source = Clip(1).write(tmp_path / "in.mkv")
    settings = settings_for(source, tmp_path / "out.y4m")
    settings = replace(settings, color=replace(settings.color, cosited=cosited))
    assert parameters(y4m_header(settings))["C"] == name


@pytest.mark.parametrize("pix_fmt", ["yuv440p", "yuv410p", "gbrp"])
def test_layouts_without_a_name_are_refused(tmp_path: Path, pix_fmt: str) -> None:
    source = Clip(1).write(tmp_path / "in.mkv")
    settings = settings_for(source, tmp_path / "out.y4m")
    with pytest.raises(InputError, match=f"y4m can't hold {pix_fmt}"):
        y4m_header(replace(settings, color=Color(layout_of(pix_fmt), 1, full_range=False)))
