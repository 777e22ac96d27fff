"""Clips decode what lies on disk, frame by frame, in any order."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from ls3d.data.footage import FirstFrames, ImageFootage, ResizedFootage, VideoFootage, YuvFootage
from ls3d.errors import InputError
from ls3d.video.images import encode_png, read_image


class Made:
    """A clip that is computed."""

    name = "made"

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def test_png_and_image_footage_keep_every_value(tmp_path: Path) -> None:
    clip = Made()
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(encode_png(clip[index]))
    read = ImageFootage("x", sorted(tmp_path.iterdir()))
    assert len(read) == 3
    for index in (2, 0, 1):
        np.testing.assert_array_equal(read[index], clip[index])


def write_video(path: Path, frames: int) -> list[np.ndarray]:
    clip = [Made()[index] for index in range(frames)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "bgr0"
        for pixels in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return clip


def test_video_footage_gives_frames_in_any_order(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "v.mkv", 12)
    footage = VideoFootage("v", tmp_path / "v.mkv", keep=3)
    assert len(footage) == 12
    for index in (0, 1, 2, 1, 5, 4, 11, 3, 0):
        np.testing.assert_array_equal(footage[index], clip[index])
    with pytest.raises(IndexError, match="12"):
        footage[12]


def test_a_broken_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video at all" * 50)
    with pytest.raises(InputError, match=r"bad\.mp4"):
        len(VideoFootage("bad", tmp_path / "bad.mp4"))


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture at all" * 50)
    with pytest.raises(InputError, match=r"bad\.png"):
        read_image(tmp_path / "bad.png")
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.png")


def test_raw_planes_are_limited_range_bt601(tmp_path: Path) -> None:
    luma = np.array([16, 81, 145, 41, 235, 126], np.uint8)  # black, red, green, blue, white, gray
    cb = np.array([128, 90, 54, 240, 128, 128], np.uint8)
    cr = np.array([128, 240, 34, 110, 128, 128], np.uint8)
    frames = [[y] * 4 + [u, v] for y, u, v in zip(luma, cb, cr, strict=True)]  # 2 x 2 pixels, one chroma
    (tmp_path / "c.yuv").write_bytes(np.array(frames, np.uint8).tobytes())
    footage = YuvFootage("c", tmp_path / "c.yuv", 2, 2)
    expected = [[0] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255], [255] * 3, [128] * 3]
    for index, color in enumerate(expected):
        assert np.abs(footage[index][0, 0].astype(int) - color).max() <= 2


def test_resized_footage_has_the_size_asked_for() -> None:
    half = ResizedFootage(Made(), (12, 20))
    assert len(half) == 5
    assert half[1].shape == (12, 20, 3)
    assert half[1].dtype == np.uint8
    assert abs(half[1].mean() - Made()[1].mean()) < 2
    np.testing.assert_array_equal(ResizedFootage(Made(), (24, 32))[1], Made()[1])


def test_first_frames_is_the_beginning() -> None:
    short = FirstFrames(Made(), 2)
    assert len(short) == 2
    np.testing.assert_array_equal(short[1], Made()[1])
    with pytest.raises(IndexError):
        short[2]
    assert len(FirstFrames(Made(), 85)) == 5


def test_lossless_webp_keeps_every_value(tmp_path: Path) -> None:
    pixels = Made()[3]
    codec = av.CodecContext.create("libwebp", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.height, codec.width, codec.pix_fmt = 24, 32, "bgra"
    codec.options = {"lossless": "1"}
    packets = [*codec.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgra"))]
    (tmp_path / "x.webp").write_bytes(b"".join(bytes(packet) for packet in [*packets, *codec.encode(None)]))
    np.testing.assert_array_equal(read_image(tmp_path / "x.webp"), pixels)
