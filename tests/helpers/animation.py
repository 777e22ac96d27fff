"""Animation: drawings that are shown for several frames each."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any

import numpy as np

from helpers.videos import Clip, Image

SIZE = (96, 192)


def drawing(number: float, height: int = SIZE[0], width: int = SIZE[1]) -> Image:
    """A disc that moves 6 pixels to the right from each drawing to the next, on a colored background."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([90 + x // 4, 160 - y // 3, np.full_like(x, 120)], -1)
    image[(x - 24 - 6 * number) ** 2 + (y - height / 2) ** 2 < 14**2] = (250, 240, 90)
    return np.asarray(image, np.uint8)


def animation(exposures: Sequence[int], numbers: Sequence[float] | None = None, **arguments: Any) -> Clip:
    """A clip at 24 frames per second, with the noise of a lossy codec.

    Args:
        exposures: for how many frames each drawing is shown.
        numbers: of the drawings; by default 0, 1, 2, ...
        arguments: of the clip.
    """
    shown = [0, *accumulate(exposures)]
    values = range(len(exposures)) if numbers is None else numbers

    def picture(index: int, height: int, width: int) -> Image:
        place = next(n for n, end in enumerate(shown[1:]) if index < end)
        return drawing(values[place], height, width)

    options = {"crf": "23", "g": "9", "preset": "fast"}
    return Clip(shown[-1], size=SIZE, rate=Fraction(24), options=options, picture=picture, **arguments)
