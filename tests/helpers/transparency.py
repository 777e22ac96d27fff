"""Clips with a moving, soft-edged alpha channel, written and read with PyAV only."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from helpers.videos import moving_picture

#: Samples ``(H, W)``.
Samples = npt.NDArray[np.int64]


def alpha_at(number: float, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A soft disc that moves two pixels to the right from each frame to the next."""
    y, x = np.mgrid[0:height, 0:width]
    distance = np.hypot(x - 20 - 2 * number, y - height / 2)
    return np.asarray(np.round(255 * (1.5 - distance / 12).clip(0, 1)), np.uint8)


def rgba_picture(number: int, height: int = 48, width: int = 64) -> av.VideoFrame:
    """A moving picture with ``alpha_at`` as its alpha."""
    color = moving_picture(number, height, width)
    pixels = np.dstack([color, alpha_at(number, height, width)])
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgba")


def write_video(path: Path, codec: str, pix_fmt: str, frames: int = 6, options: dict[str, str] | None = None) -> Path:
    """Write a clip of 64 x 48 pixels at 25 frames per second."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for number in range(frames):
            picture = rgba_picture(number).reformat(format=pix_fmt)
            picture.pts, picture.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
    return path


def write_folder(folder: Path, frames: int = 6) -> Path:
    """Write a folder of PNG images with alpha."""
    folder.mkdir()
    for number in range(frames):
        encoder = av.CodecContext.create("png", "w")
        encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "rgba"
        encoder.time_base = Fraction(1, 25)
        packets = [*encoder.encode(rgba_picture(number)), *encoder.encode(None)]
        (folder / f"{number}.png").write_bytes(b"".join(map(bytes, packets)))
    return folder


def alphas(path: Path) -> list[Samples]:
    """The alpha of each frame of a video or folder in 8-bit codes, by FFmpeg's filter alphaextract."""
    if path.is_dir():
        return [plane for each in sorted(path.iterdir()) for plane in alphas(each)]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create("libvpx-vp9", "r") if stream.codec_context.name == "vp9" else None
        found: list[Samples] = []
        for packet in container.demux(stream):
            pictures = packet.decode() if decoder is None else decoder.decode(packet if packet.size else None)
            for picture in pictures:
                assert isinstance(picture, av.VideoFrame)
                found.append(picture.reformat(format="rgba").to_ndarray()[..., 3].astype(np.int64))
        return found
