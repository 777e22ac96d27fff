"""Opening of files: whatever their names and content ask for, nothing else is read, and no large picture decoded."""

from __future__ import annotations

import io
import os
import signal
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from helpers.videos import Clip

from ls3d.errors import InputError
from ls3d.video import ImageSequence, VideoPipe, probe
from ls3d.video.images import encode_png, read_image
from ls3d.video.opening import interruptible, open_video

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 64, 3), dtype=np.uint8)
EXIF = b"MM\0*" + struct.pack(">IHHHIII", 8, 1, 0x0112, 3, 1, 1 << 16, 0)

SIGNALS: dict[int, type[BaseException]] = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}


def with_exif(image: bytes) -> bytes:
    """A PNG file with EXIF data after its header, as cameras and phones write it."""
    kind = b"eXIf" + EXIF
    return image[:33] + struct.pack(">I", len(EXIF)) + kind + struct.pack(">I", zlib.crc32(kind)) + image[33:]


def test_images_with_exif(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(with_exif(encode_png(PIXELS)))
    assert len(list(ImageSequence(tmp_path).frames())) == 3
    assert np.array_equal(read_image(tmp_path / "0.png"), PIXELS)


@pytest.mark.parametrize(("suffix", "codec"), [("tiff", "tiff"), ("bmp", "bmp"), ("ppm", "ppm"), ("webp", "libwebp")])
def test_other_images(tmp_path: Path, suffix: str, codec: str) -> None:
    encoder = cast(av.VideoCodecContext, av.CodecContext.create(codec, "w"))
    encoder.height, encoder.width = PIXELS.shape[:2]
    encoder.pix_fmt = {"bmp": "bgr24", "webp": "yuv420p"}.get(suffix, "rgb24")
    encoder.time_base = Fraction(1, 25)
    picture = av.VideoFrame.from_ndarray(PIXELS, format="rgb24").reformat(format=encoder.pix_fmt)
    (tmp_path / f"1.{suffix}").write_bytes(b"".join(map(bytes, [*encoder.encode(picture), *encoder.encode(None)])))
    info = ImageSequence(tmp_path).info
    assert (info.width, info.height) == (64, 40)


@pytest.mark.parametrize(
    "name", ["12:30 talk.mkv", "http:x.mkv", "concat:a.mkv", "file:x.mkv", "%d.mkv", "-x.mkv", "?"]
)
def test_names_are_only_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Clip(3).write(tmp_path / "a.mkv").rename(tmp_path / name)
    assert probe(name).frames == 3


def test_patterns_and_playlists_open_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(encode_png(PIXELS))
    (tmp_path / "%d.png").write_bytes(encode_png(PIXELS[:20]))
    assert read_image(tmp_path / "%d.png").shape == (20, 64, 3)
    Clip(3).write(tmp_path / "a.ts")
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError, match=r"not a video|no video stream|no frame"):
        probe(tmp_path / "a.m3u8")


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "png"])
def test_large_pictures_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"in.{suffix}"
    if suffix == "png":
        path.write_bytes(encode_png(PIXELS))
    else:
        Clip(2, (40, 64)).write(path)
    with (
        pytest.raises(InputError, match=r"^max_pixels 2559: .*in\.\w+ has pictures of 64 x 40 pixels$"),
        open_video(path, 2559),
    ):
        pass
    with open_video(path, 2560) as (container, stream):
        assert sum(1 for _ in container.decode(stream)) >= 1


@pytest.mark.parametrize("is_pipe", [False, True])
def test_the_size_of_pictures_beyond_all_limits_is_named(tmp_path: Path, is_pipe: bool) -> None:
    """FFmpeg's error for such a y4m header is that of a busy device."""
    path = tmp_path / "in.y4m"
    path.write_bytes(b"YUV4MPEG2 W100000 H100000 F25:1\nFRAME\n" + bytes(24))
    with path.open("rb") as file, pytest.raises(InputError, match=r"its pictures would have 100000 x 100000 pixels"):
        VideoPipe(file) if is_pipe else probe(path)


class Stopped(SystemExit):
    """Raised by a handler of a signal, as by that of ``ls3d``."""


@pytest.fixture
def handlers() -> Iterator[None]:
    """Handlers that raise, for SIGINT as everywhere in Python, and for SIGTERM."""

    def stop(*_: object) -> None:
        raise Stopped

    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, stop)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="other signals")
@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(("number", "error"), SIGNALS.items())
def test_signals_end_a_pipe_that_stalls_before_the_header(number: int, error: type[BaseException]) -> None:
    reading, writing = os.pipe()
    with open(writing, "wb"), io.FileIO(reading) as file:
        timer = threading.Timer(0.3, os.kill, (os.getpid(), number))
        timer.start()
        with pytest.raises(error):
            VideoPipe(file)
        timer.join()


@pytest.mark.skipif(sys.platform == "win32", reason="other signals")
@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(("number", "error"), SIGNALS.items())
def test_a_signal_between_two_reads_ends_a_pipe(number: int, error: type[BaseException]) -> None:
    """There, an exception would be raised in FFmpeg's call of ``read``, which ignores it."""
    reading, writing = os.pipe()

    def read_after_a_signal(file: io.FileIO) -> None:
        with interruptible(file) as reader:
            signal.raise_signal(number)
            assert reader.read(1) == b""

    with open(writing, "wb"), io.FileIO(reading) as file, pytest.raises(error):
        read_after_a_signal(file)


@pytest.mark.skipif(sys.platform == "win32", reason="other signals")
def test_an_ignored_signal_is_ignored() -> None:
    """As for programs that a shell has started in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible(io.BytesIO(b"content")) as reader:
            signal.raise_signal(signal.SIGINT)
            assert reader.read(7) == b"content"
    finally:
        signal.signal(signal.SIGINT, before)


def test_odd_digits_in_names(tmp_path: Path) -> None:
    names = ["x².png", "x³.png", "x10.png", "x9.png", "٣.png"]
    for name in names:
        (tmp_path / name).write_bytes(encode_png(PIXELS))
    found = [path.name for path in ImageSequence(tmp_path).paths]
    assert sorted(found) == sorted(names)
    assert found.index("x9.png") < found.index("x10.png")
