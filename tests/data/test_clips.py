"""Clips decode images, videos and raw files frame by frame, in any order."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from ls3d.data.clips import ImageClip, Pixels, ResizedClip, TruncatedClip, VideoClip, YuvClip
from ls3d.errors import InputError
from ls3d.video.images import encode_png, read_image


class ComputedClip:
    """Five frames of random pixels."""

    name = "computed"

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Pixels:
        return np.random.default_rng(index).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def test_png_and_image_clip_keep_every_value(tmp_path: Path) -> None:
    clip = ComputedClip()
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(encode_png(clip[index]))
    read = ImageClip("x", sorted(tmp_path.iterdir()))
    assert len(read) == 3
    for index in (2, 0, 1):
        np.testing.assert_array_equal(read[index], clip[index])


def write_video(path: Path, frames: int) -> list[Pixels]:
    clip: list[Pixels] = [ComputedClip()[index] for index in range(frames)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "bgr0"
        for pixels in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return clip


def test_video_clip_gives_frames_in_any_order(tmp_path: Path) -> None:
    written = write_video(tmp_path / "v.mkv", 12)
    clip = VideoClip("v", tmp_path / "v.mkv", keep=3)
    assert len(clip) == 12
    for index in (0, 1, 2, 1, 5, 4, 11, 3, 0):
        np.testing.assert_array_equal(clip[index], written[index])
    with pytest.raises(IndexError, match="12"):
        clip[12]


def test_iterating_gives_every_frame_once(tmp_path: Path) -> None:
    written = write_video(tmp_path / "v.mkv", 12)
    clip = VideoClip("v", tmp_path / "v.mkv")
    for _ in range(2):
        np.testing.assert_array_equal(np.stack(list(clip)), np.stack(written))


def test_a_broken_video_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video at all" * 50)
    with pytest.raises(InputError, match=r"bad\.mp4"):
        len(VideoClip("bad", tmp_path / "bad.mp4"))


def test_a_broken_image_is_an_error_with_its_name(tmp_path: Path) -> None:
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
    clip = YuvClip("c", tmp_path / "c.yuv", 2, 2)
    expected = [[0] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255], [255] * 3, [128] * 3]
    for index, color in enumerate(expected):
        assert np.abs(clip[index][0, 0].astype(int) - color).max() <= 2


def test_resized_clip_has_the_requested_size() -> None:
    half = ResizedClip(ComputedClip(), (12, 20))
    assert len(half) == 5
    assert half[1].shape == (12, 20, 3)
    assert half[1].dtype == np.uint8
    assert abs(half[1].mean() - ComputedClip()[1].mean()) < 2
    np.testing.assert_array_equal(ResizedClip(ComputedClip(), (24, 32))[1], ComputedClip()[1])


def test_truncated_clip_is_the_beginning() -> None:
    short = TruncatedClip(ComputedClip(), 2)
    assert len(short) == 2
    np.testing.assert_array_equal(short[1], ComputedClip()[1])
    with pytest.raises(IndexError):
        short[2]
    assert len(TruncatedClip(ComputedClip(), 85)) == 5


def test_lossless_webp_keeps_every_value(tmp_path: Path) -> None:
    pixels = ComputedClip()[3]
    codec = av.CodecContext.create("libwebp", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.height, codec.width, codec.pix_fmt = 24, 32, "bgra"
    codec.options = {"lossless": "1"}
    packets = [*codec.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgra"))]
    (tmp_path / "x.webp").write_bytes(b"".join(bytes(packet) for packet in [*packets, *codec.encode(None)]))
    np.testing.assert_array_equal(read_image(tmp_path / "x.webp"), pixels)
