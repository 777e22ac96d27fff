"""Alpha planes: taken from pictures of every pixel format, put into them, and read from files."""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.transparency import alpha_at, rgba_picture, write_folder, write_video

from ls3d.video import ImageSequence, VideoFile, layout_of, picture_of, planes_of
from ls3d.video.alpha import alpha_of, opaque, packet_data, packet_of, with_alpha, with_depth
from ls3d.video.deinterlace import Deinterlaced

FORMATS = (
    *("yuva420p", "yuva422p", "yuva444p", "yuva444p10le", "yuva420p16le", "gbrap", "gbrap12le"),
    *("rgba", "bgra", "argb", "abgr", "rgba64le", "rgba64be", "ya8", "ya16le", "ya16be"),
)
SIZE = (47, 65)


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_samples_are_kept(pix_fmt: str) -> None:
    layout = layout_of(pix_fmt)
    noise = np.random.default_rng(0)
    planes = [noise.integers(0, 2**layout.depth, size).astype(layout.dtype) for size in layout.plane_sizes(*SIZE)]
    alpha = noise.integers(0, 2**layout.depth, SIZE).astype(layout.dtype)
    picture = with_alpha(picture_of(planes, layout), alpha, pix_fmt)
    assert np.array_equal(alpha_of(picture, SIZE, layout.depth), alpha)
    if pix_fmt.startswith(("yuva", "gbrap")):
        assert all(np.array_equal(a, b) for a, b in zip(planes_of(picture)[: len(planes)], planes, strict=False))


@pytest.mark.parametrize("pix_fmt", [name for name in FORMATS if not name.startswith(("ya", "rgba64"))])
def test_ffmpeg_finds_the_same_alpha(pix_fmt: str) -> None:
    layout = layout_of(pix_fmt)
    planes = [np.zeros(size, layout.dtype) for size in layout.plane_sizes(*SIZE)]
    alpha = np.random.default_rng(0).integers(0, 2**layout.depth, SIZE).astype(layout.dtype)
    picture = with_alpha(picture_of(planes, layout), alpha, pix_fmt)
    graph = av.filter.Graph()
    source = graph.add("buffer", f"video_size={SIZE[1]}x{SIZE[0]}:pix_fmt={pix_fmt}:time_base=1/25")
    extract = graph.add("alphaextract")
    source.link_to(extract)
    extract.link_to(graph.add("buffersink"))
    graph.configure()
    picture.pts = 0
    graph.push(picture)
    extracted = graph.pull()
    assert isinstance(extracted, av.VideoFrame)
    assert np.array_equal(planes_of(extracted)[0], alpha)


@pytest.mark.parametrize("pix_fmt", ["rgba", "rgba64be", "ya8", "ya16be"])
def test_png_files_hold_the_samples(pix_fmt: str) -> None:
    order = (2, 0, 1) if pix_fmt.startswith("rgba") else (0,)  # of the planes in a pixel
    layout = layout_of(pix_fmt)
    noise = np.random.default_rng(0)
    planes = [noise.integers(0, 2**layout.depth, SIZE).astype(layout.dtype) for _ in layout.plane_sizes(*SIZE)]
    alpha = noise.integers(0, 2**layout.depth, SIZE).astype(layout.dtype)
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width, encoder.pix_fmt = *SIZE, pix_fmt
    encoder.options = {"pred": "none"}
    picture = with_alpha(picture_of(planes, layout), alpha, pix_fmt)
    data = b"".join(map(bytes, [*encoder.encode(picture), *encoder.encode(None)]))
    chunks, position = b"", 8
    while position < len(data):  # PNG specification, section 5.3: length, type, content, checksum
        length = int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"IDAT":
            chunks += data[position + 8 : position + 8 + length]
        position += 12 + length
    rows = np.frombuffer(zlib.decompress(chunks), np.uint8).reshape(SIZE[0], -1)[:, 1:]
    samples = np.ascontiguousarray(rows).view(">u2" if layout.depth > 8 else "u1").reshape(*SIZE, len(order) + 1)
    assert np.array_equal(samples, np.dstack([*(planes[index] for index in order), alpha]))


def test_pictures_without_alpha_are_opaque() -> None:
    assert np.array_equal(alpha_of(av.VideoFrame(8, 6, "yuv420p10le"), (6, 8), 10), np.full((6, 8), 1023))
    assert np.array_equal(opaque((2, 3), 8), np.full((2, 3), 255))


def test_alpha_is_resized_with_the_picture() -> None:
    alpha = alpha_of(rgba_picture(0), (96, 128), 8).astype(int)
    assert abs(alpha - np.kron(alpha_at(0, 48, 64), np.ones((2, 2)))).mean() < 4


def test_bits_are_converted() -> None:
    codes = np.arange(256, dtype=np.uint8)[None]
    assert np.array_equal(with_depth(with_depth(codes, 8, 10), 10, 8), codes)
    assert with_depth(codes, 8, 16)[0, -1] == 65535


def test_second_layers_are_stored_with_their_packets() -> None:
    for layer in (b"", b"\x00" * 7 + b"\x01alpha"):
        packet = packet_of(b"color" + layer + len(layer).to_bytes(4, "big"), layered=True)
        assert bytes(packet) == b"color"
        assert packet.has_sidedata("matroska_block_additional") == bool(layer)
        assert packet_data(packet, layered=True) == b"color" + layer + len(layer).to_bytes(4, "big")
    assert packet_data(packet_of(b"color", layered=False), layered=False) == b"color"


def test_vp9_with_a_second_layer_is_decoded_from_any_position(tmp_path: Path) -> None:
    options = {"crf": "4", "b": "0", "g": "5", "auto-alt-ref": "0"}
    source = VideoFile(write_video(tmp_path / "in.webm", "libvpx-vp9", "yuva420p", 14, options))
    assert source.info.alpha
    frames = list(source.frames())
    assert len(frames) == 14
    for number, frame in enumerate(frames):
        assert frame.alpha is not None
        assert abs(frame.alpha.astype(int) - alpha_at(number, 48, 64)).mean() < 3
    marks = [frame.mark() for frame in frames]
    assert [frame.mark() for frame in source.frames(after=marks[8:10])] == marks[8:]


def test_images_with_and_without_alpha(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", 2)
    rgba_picture(2).reformat(format="rgb24").save(folder / "0.png")
    source = ImageSequence(folder)
    assert source.info.alpha
    first, second = source.frames()
    assert first.alpha is not None
    assert first.alpha.min() == 255
    assert second.alpha is not None
    assert np.array_equal(second.alpha, alpha_at(1, 48, 64))


def test_alpha_is_deinterlaced(tmp_path: Path) -> None:
    base = VideoFile(write_video(tmp_path / "in.mkv", "ffv1", "yuva444p10le", 3))
    frames = list(Deinterlaced(base, "field", "top").frames())
    assert len(frames) == 6
    for frame in frames:
        assert frame.alpha is not None
        assert frame.alpha.dtype == np.uint16
    lines = slice(0, None, 2)
    own = next(base.frames()).alpha
    assert own is not None
    assert frames[0].alpha is not None
    assert np.array_equal(frames[0].alpha[lines], own[lines])


def test_transparent_colors_of_palettes(tmp_path: Path) -> None:
    picture = rgba_picture(1)
    graph = av.filter.Graph()  # FFmpeg's palettegen keeps one transparent color
    source = graph.add("buffer", "video_size=64x48:pix_fmt=rgba:time_base=1/25")
    split, generate, use = graph.add("split"), graph.add("palettegen"), graph.add("paletteuse", "alpha_threshold=128")
    source.link_to(split)
    split.link_to(generate, 0)
    split.link_to(use, 1, 0)
    generate.link_to(use, 0, 1)
    use.link_to(graph.add("buffersink"))
    graph.configure()
    picture.pts = 0
    graph.push(picture)
    graph.push(None)
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, "pal8", Fraction(1, 25)
    made = graph.pull()
    assert isinstance(made, av.VideoFrame)
    (tmp_path / "1.png").write_bytes(b"".join(map(bytes, [*encoder.encode(made), *encoder.encode(None)])))
    source_of_images = ImageSequence(tmp_path)
    assert source_of_images.info.alpha
    (frame,) = source_of_images.frames()
    assert frame.alpha is not None
    assert np.array_equal(frame.alpha > 0, alpha_at(1, 48, 64) >= 128)


def test_interlaced_png_images_are_not_interlaced_video(tmp_path: Path) -> None:
    picture = rgba_picture(0)
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, "rgba", Fraction(1, 25)
    encoder.options = {"flags": "+ildct"}
    (tmp_path / "1.png").write_bytes(b"".join(map(bytes, [*encoder.encode(picture), *encoder.encode(None)])))
    assert (tmp_path / "1.png").read_bytes()[28] == 1  # PNG specification, section 11.2.2: Adam7
    assert ImageSequence(tmp_path).info.field_order == ""
