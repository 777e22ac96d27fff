"""Still images as arrays, for measuring and for reports: the exact 8-bit values of PNG, WebP, BMP, ...

The engine reads images as a video (``ls3d.video.reader.ImageSequence``); here a picture is an array of RGB
values.
"""

from __future__ import annotations

import os

import av
import numpy as np

from ls3d.errors import InputError


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one image.

    Args:
        path: a file of any format that FFmpeg knows. RGB values come out as they are in the file; JPEGs are
            converted from Y'CbCr by FFmpeg, which differs from other decoders by a few units at colored
            edges.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is not an image that can be decoded.
    """
    try:
        with av.open(os.fspath(path)) as container:
            for frame in container.decode(video=0):
                return frame.to_ndarray(format="rgb24")
    except (av.InvalidDataError, IndexError) as error:
        raise InputError(f"{os.fspath(path)} is not an image that can be decoded") from error
    raise InputError(f"{os.fspath(path)} holds no picture")


def encode_png(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB.
    """
    codec = av.CodecContext.create("png", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.height, codec.width = pixels.shape[:2]
    codec.pix_fmt = "rgb24"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])
