"""Still images as arrays of 8-bit RGB values, for measuring and reports, and folders of PNG files.

``ls3d.video.ImageSequence`` reads a folder of images as a video.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from ls3d.errors import InputError
from ls3d.video.arrays import rgb_of
from ls3d.video.encoder import Packet
from ls3d.video.opening import open_video


def read_image(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Read one image.

    Args:
        path: a file of any format that FFmpeg knows. RGB values are returned as they are in the file; JPEGs are
            converted from Y'CbCr by FFmpeg, which differs from other decoders by a few units at colored edges.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is not an image that can be decoded.
    """
    try:
        with open_video(path) as (container, stream):
            for picture in container.decode(stream):
                return rgb_of(picture)
    except av.FFmpegError as error:
        raise InputError(f"{os.fspath(path)} is not an image that can be decoded ({error.strerror})") from error
    raise InputError(f"{os.fspath(path)} holds no picture that can be decoded")


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode an image as a PNG file.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB.

    Returns:
        The content of the file.
    """
    context = av.CodecContext.create("png", "w")
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt = "rgb24"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def write_images(folder: Path, packets: Iterable[Packet], digits: int = 6) -> None:
    """Write each packet to a file of its own in a new folder: ``000001.png``, ``000002.png``, ...

    Args:
        folder: must not exist.
        packets: encoded PNG images.
        digits: minimum number of digits in the names.
    """
    folder.mkdir()
    for number, packet in enumerate(packets, 1):
        (folder / f"{number:0{digits}}.png").write_bytes(packet.data)
