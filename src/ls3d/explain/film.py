"""Writes pictures as a video file, with the library's own encoder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ls3d.errors import InputError
from ls3d.explain.videos import PathLike
from ls3d.files import atomic_write
from ls3d.video import (
    EncodedSegment,
    Encoder,
    Packet,
    TimeRange,
    VideoInfo,
    choose_settings,
    container_of,
    from_rgb,
    reorder_depth,
    write_container,
)
from ls3d.video.containers import supports_codec

#: Frames per second: slow enough to see the samples of each frame.
_RATE = Fraction(4)

_CODEC = "h264"


def check_film(path: PathLike, argument: str) -> None:
    """Check, before long work, that the suffix of a file is that of a container for films.

    Args:
        path: the file.
        argument: name of the parameter for messages.

    Raises:
        InputError: it isn't.
    """
    try:
        container = container_of(path)
    except InputError as error:
        raise InputError(error.message, argument=argument) from error
    if container != "y4m" and not supports_codec(container, _CODEC):
        raise InputError(f"{path}: a {container} file can't hold {_CODEC}; choose another suffix", argument=argument)


def write_film(pictures: Iterable[npt.NDArray[np.uint8]], path: PathLike, info: VideoInfo) -> None:
    """Write pictures as a video.

    Args:
        pictures: ``(H, W, 3)`` each, at least one, all of the same even size.
        path: the suffix chooses the container.
        info: of the video that the pictures are about.

    Raises:
        InputError: there is no such container.
    """
    target = Path(path)
    container = container_of(target)
    encoder: Encoder | None = None
    packets: list[Packet] = []
    count = 0
    for count, picture in enumerate(pictures, 1):
        if encoder is None:
            height, width = picture.shape[:2]
            info = replace(info, width=width, height=height, display_matrix=None, rotation=0, streams=(), chapters=())
            info = replace(info, sample_aspect_ratio=Fraction(1), metadata={}, alpha=False, field_order="")
            encoder = Encoder(
                choose_settings(info, container, size=(height, width), time_base=1 / _RATE, rate=_RATE, codec=_CODEC)
            )
        rgb = torch.from_numpy(picture).permute(2, 0, 1) / 255
        packets += encoder.encode(from_rgb(rgb, encoder.settings.color), count - 1)
    assert encoder is not None
    packets += encoder.flush()
    times = [packet.pts for packet in packets]
    segment = EncodedSegment(lambda: packets, lambda: times, reorder_depth(times), count)
    with atomic_write(target) as temporary:
        write_container(temporary, container, encoder.settings, [segment], info, None, TimeRange(Fraction(0), None))
