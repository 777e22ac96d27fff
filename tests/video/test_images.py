"""Still images against FFmpeg's own reading of them."""

from __future__ import annotations

import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import Image, decode, moving_picture

from ls3d.errors import InputError
from ls3d.video import Packet, write_images
from ls3d.video.images import encode_png, read_image


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (48, 64)])
def test_png_keeps_every_value(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels: Image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(encode_png(pixels))
    assert np.array_equal(read_image(tmp_path / "a.png"), pixels)
    assert np.array_equal(decode(tmp_path / "a.png")[0].to_ndarray(format="rgb24"), pixels)


def test_png_is_what_its_specification_says() -> None:
    """PNG, third edition: signature, IHDR with size, 8 bits, color type 2 (RGB), and a checksum for every chunk."""
    content = encode_png(moving_picture(0, 12, 20))
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = [], 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        body = content[place + 4 : place + 8 + length]
        assert int.from_bytes(content[place + 8 + length : place + 12 + length], "big") == zlib.crc32(body)
        chunks.append(body)
        place += 12 + length
    assert chunks[0][:4] == b"IHDR"
    assert chunks[0][4:14] == (20).to_bytes(4, "big") + (12).to_bytes(4, "big") + bytes([8, 2])
    assert chunks[-1] == b"IEND"


@pytest.mark.parametrize("suffix", ["bmp", "tiff", "ppm"])
def test_lossless_formats_are_read_exactly(tmp_path: Path, suffix: str) -> None:
    pixels = moving_picture(3, 24, 32)
    path = tmp_path / f"a.{suffix}"
    codec, pix_fmt = {"bmp": ("bmp", "bgr24"), "tiff": ("tiff", "rgb24"), "ppm": ("ppm", "rgb24")}[suffix]
    with av.open(str(path), "w", format="image2") as output:
        stream = output.add_stream(codec, rate=1)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = pix_fmt
        output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)))
        output.mux(stream.encode(None))
    assert np.array_equal(read_image(path), pixels)


def test_what_is_not_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="not an image that can be decoded"):
        read_image(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "missing.png")
    header = encode_png(moving_picture(0, 12, 20))[:40]  # cut off before the pixels
    (tmp_path / "b.png").write_bytes(header)
    with pytest.raises(InputError):
        read_image(tmp_path / "b.png")


def test_packets_are_written_as_numbered_files(tmp_path: Path) -> None:
    pictures = [moving_picture(n, 12, 20) for n in range(12)]
    write_images(tmp_path / "out", [Packet(n, True, encode_png(picture)) for n, picture in enumerate(pictures)], 2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{n:02}.png" for n in range(1, 13)]
    assert np.array_equal(read_image(tmp_path / "out" / "05.png"), pictures[4])
    with pytest.raises(FileExistsError):
        write_images(tmp_path / "out", [])
