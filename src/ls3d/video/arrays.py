"""Video frames as arrays of 8-bit RGB, as data sets and metrics need them.

FFmpeg converts the colors. Enhancement reads frames with ``ls3d.video.Source`` instead, which keeps exact times, bit
depth and color tags.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from ls3d.errors import InputError
from ls3d.video.opening import open_video


def read_video(path: str | os.PathLike[str]) -> Iterator[npt.NDArray[np.uint8]]:
    """Decode the frames of a video file in presentation order, each ``(H, W, 3)`` uint8 RGB.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is not a video, or is damaged.
    """
    try:
        with open_video(path) as (container, stream):
            stream.thread_type = "AUTO"
            for picture in container.decode(stream):
                yield rgb_of(picture)
    except av.FFmpegError as error:
        raise InputError(f"{os.fspath(path)} is not a video that can be decoded ({error.strerror})") from error


def write_video(path: str | os.PathLike[str], frames: Iterable[npt.NDArray[np.uint8]], rate: Fraction) -> None:
    """Write frames ``(H, W, 3)`` RGB of one size as H.264, 4:2:0; odd rows and columns at the ends are left out.

    Raises:
        InputError: FFmpeg knows no container with this suffix that holds H.264.
    """
    try:
        with av.open(os.fspath(path), "w") as output:
            stream = output.add_stream("libx264", rate=rate)
            stream.pix_fmt = "yuv420p"
            for number, frame in enumerate(frames):
                height, width = (side // 2 * 2 for side in frame.shape[:2])
                if number == 0:
                    stream.height, stream.width = height, width
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")
                output.mux(stream.encode(picture))
            output.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"{os.fspath(path)} can't be written as a video ({error})") from error


def rgb_of(picture: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """Convert a picture of any pixel format to ``(H, W, 3)`` uint8 RGB.

    Raises:
        InputError: FFmpeg can't convert its pixel format.
    """
    try:
        return picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    except (ValueError, av.FFmpegError) as error:
        raise InputError(f"pictures of pixel format {picture.format.name} can't be converted to RGB") from error


def yuv420p_to_rgb(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Convert one 8-bit 4:2:0 frame (BT.601, limited range) to RGB.

    Args:
        planes: ``(3 * H / 2, W)``: the rows of the luma plane, then those of both chroma planes.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), format="yuv420p")
    return picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
