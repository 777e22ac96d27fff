"""Interlaced and telecined clips, made from progressive pictures."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from helpers.videos import Clip, Image

Progressive = Callable[[float], Image]


def moving_texture(time: float, height: int = 96, width: int = 128) -> Image:
    """A pattern with fine detail that moves vertically and horizontally; ``time`` counts fields."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    a = 128 + 60 * np.sin(x / 6 + 0.5 * time) * np.cos(y / 5 - 0.3 * time) + 40 * np.sin((x + 2 * y) / 15 - 0.2 * time)
    return np.repeat(np.round(a.clip(16, 235)).astype(np.uint8)[..., None], 3, -1)


def woven(top: Image, bottom: Image) -> Image:
    """A frame with the even lines of one picture and the odd lines of another."""
    frame = top.copy()
    frame[1::2] = bottom[1::2]
    return frame


def interlaced_clip(frames: int, first: str = "top", rate: Fraction = Fraction(25), **arguments: Any) -> Clip:
    """An H.264 clip whose frame n has the fields at the times 2n and 2n + 1 of ``moving_texture``."""

    def picture(index: int, height: int, width: int) -> Image:
        fields = [moving_texture(2 * index + field, height, width) for field in range(2)]
        return woven(*(fields if first == "top" else fields[::-1]))

    return _clip(frames, first, rate, picture, **arguments)


def telecined_clip(frames: int) -> Clip:
    """An NTSC clip of film with 3:2 pulldown."""
    film = [(0, 0), (1, 1), (1, 2), (2, 3), (3, 3)]  # top and bottom field of five frames, from four pictures

    def picture(index: int, height: int, width: int) -> Image:
        top, bottom = film[index % 5]
        return woven(*(moving_texture(2.5 * (index // 5 * 4 + n), height, width) for n in (top, bottom)))

    return _clip(frames, "top", Fraction(30_000, 1001), picture)


def progressive_clip(frames: int) -> Clip:
    """A clip that is marked as interlaced, but is progressive."""
    return _clip(frames, "top", Fraction(25), lambda index, *size: moving_texture(2 * index, *size))


def _clip(frames: int, first: str, rate: Fraction, picture: Callable[[int, int, int], Image], **arguments: Any) -> Clip:
    order = "tff" if first == "top" else "bff"
    options = {"crf": "1", "preset": "ultrafast", "flags": "+ilme+ildct", "x264-params": f"{order}=1", "g": "8"}
    return Clip(frames, rate=rate, options=options, picture=picture, **{"size": (96, 128), **arguments})
