"""Output sizes other than the network's own: a factor, a side, or a box that the picture must fit.

This module imports nothing heavy, so that arguments can be checked before PyAV and torch are imported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ls3d.errors import InputError

if TYPE_CHECKING:
    from ls3d.video import VideoInfo

_HIGHEST_SCALE = 8
_MAX_SCALE_DENOMINATOR = 100_000
_SMALLEST_SIDE = 16
_LARGEST_SIDE = 65_536

#: Formats that store a rotation, so that a player shows width and height exchanged.
_ROTATING = ("mp4", "mov", "matroska", "webm")


@dataclass(frozen=True)
class SizeRequest:
    """A size that was asked for; exactly one of the attributes is not None.

    Attributes:
        scale: output size divided by source size, in samples, whose shape is kept.
        width: of the picture as it is shown, in square pixels.
        height: likewise.
        fit: width and height of a box, likewise; the picture gets the largest size that fits.
    """

    scale: Fraction | None = None
    width: int | None = None
    height: int | None = None
    fit: tuple[int, int] | None = None

    @property
    def has_square_pixels(self) -> bool:
        """Whether the output has square pixels even if the source has not."""
        return self.scale is None

    def size_of_video(self, info: VideoInfo, container: str, units: tuple[int, int]) -> tuple[int, int]:
        """As ``size``, for a video.

        Args:
            info: of the source.
            container: FFmpeg's name of the output format.
            units: see ``size``.
        """
        rotated = info.rotation % 180 == 90 and container in _ROTATING
        return self.size(info.height, info.width, units, info.sample_aspect_ratio, rotated)

    def size(
        self,
        height: int,
        width: int,
        units: tuple[int, int] = (1, 1),
        sample_aspect_ratio: Fraction = Fraction(1),
        rotated: bool = False,
    ) -> tuple[int, int]:
        """Height and width of the output in samples.

        Each side is rounded to the nearest multiple of its unit, or down where it would not fit.

        Args:
            height: of the source, in samples.
            width: of the source, in samples.
            units: for height and width, such as ``(2, 2)`` for pixel formats whose chroma has half the size.
            sample_aspect_ratio: width of a sample divided by its height.
            rotated: whether a player exchanges height and width.
        """
        if self.scale is not None:
            return _rounded(height * self.scale, units[0]), _rounded(width * self.scale, units[1])
        shape = (Fraction(height), width * sample_aspect_ratio)
        box = (self.height, self.width) if self.fit is None else (self.fit[1], self.fit[0])
        limits = box[::-1] if rotated else box
        factor = min(limit / side for limit, side in zip(limits, shape, strict=True) if limit is not None)
        rows, columns = (
            _rounded(side * factor, unit, limit if self.fit is not None else None)
            for side, unit, limit in zip(shape, units, limits, strict=True)
        )
        return rows, columns


def requested_size(
    scale: Fraction | float | None, width: int | None, height: int | None, fit: tuple[int, int] | None
) -> SizeRequest | None:
    """Check the arguments of ``ls3d.enhance.upscale``, which explains them; None if no size is asked for.

    Raises:
        InputError: one is out of range, or several are given.
    """
    given = {"scale": scale, "width": width, "height": height, "fit": fit}
    names = [name for name, value in given.items() if value is not None]
    if not names:
        return None
    if len(names) > 1:
        shown = "x".join(map(str, fit)) if names[-1] == "fit" and fit is not None else given[names[-1]]
        raise InputError(f"{shown}: can't be combined with {names[0]}; expected one size", argument=names[-1])
    if scale is not None:
        if not 0 < scale <= _HIGHEST_SCALE:
            message = f"{scale}: expected a number more than 0 and at most {_HIGHEST_SCALE}, such as 2, 1.5 or 3/2"
            raise InputError(message, argument="scale")
        exact = Fraction(scale).limit_denominator(_MAX_SCALE_DENOMINATOR)
        return SizeRequest(scale=max(exact, Fraction(1, _MAX_SCALE_DENOMINATOR)))
    for side in fit if fit is not None else (width, height):
        if side is not None and not _SMALLEST_SIDE <= side <= _LARGEST_SIDE:
            message = f"{side}: expected pixels from {_SMALLEST_SIDE} to {_LARGEST_SIDE}"
            raise InputError(message, argument=names[0])
    return SizeRequest(width=width, height=height, fit=fit)


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Check that an output of this height and width is not larger than allowed.

    Raises:
        InputError: it is.
    """
    height, width = size
    if height * width > max_pixels:
        raise InputError(f"{max_pixels}: the output would have {width} x {height} pixels", argument="max_pixels")


def _rounded(side: Fraction, unit: int, limit: int | None = None) -> int:
    """The multiple of ``unit`` nearest to ``side``, but at least one unit and at most ``limit``."""
    count = math.floor(side / unit + Fraction(1, 2))
    if limit is not None:
        count = min(count, limit // unit)
    return max(1, count) * unit
