"""Text in a corner of video frames, upright as they are shown."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from ls3d.video import Frame, VideoInfo, from_rgb, picture_of, planes_of
from ls3d.video.alpha import opaque
from ls3d.video.pixels import Plane
from ls3d.video.trial import UPRIGHT

_SHARE = 1 / 18  # of the frame's shorter side that a letter is high
_HIGHEST = 0.5  # share of the frame's height that the text may cover
_SIZES = (8, 14)  # lowest height of letters in pixels: where the text needs it, and otherwise

#: Sides are divisible by this, as the chroma of any pixel format requires.
_MULTIPLE = 4

#: White of graphics in PQ and HLG (BT.2408), as a share of the largest code, by the number of the transfer in H.273.
_WHITE = {16: 0.58, 18: 0.75}


class Orientation(NamedTuple):
    """What turns a picture from what is shown into what is stored: transposed first, then flipped."""

    transposed: bool
    flips_rows: bool
    flips_columns: bool

    @classmethod
    def of(cls, info: VideoInfo) -> Orientation:
        """Read the display matrix, which maps stored to shown positions: x' = a x + c y, y' = b x + d y."""
        a, b, _, c, d = (info.display_matrix or UPRIGHT)[:5]
        transposed = abs(b) > abs(a)
        return cls(transposed, (c if transposed else d) < 0, (b if transposed else a) < 0)

    def stored(self, picture: Plane) -> Plane:
        """The picture ``(H, W)`` as it is stored."""
        turned = picture.T if self.transposed else picture
        return turned[:: -1 if self.flips_rows else 1, :: -1 if self.flips_columns else 1]


class LabelPainter:
    """Writes text into the top left corner of the frames of a video.

    Args:
        info: of the video.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._orientation = Orientation.of(info)
        self._text = ""
        self._planes: list[Plane] = []

    def paint(self, frame: Frame, text: str) -> Frame:
        """A copy of a frame with white text on black, which is opaque; other samples are unchanged."""
        if text != self._text:
            self._text = text
            self._planes = self._draw(text)
        layout = self._info.color.layout
        planes = [plane.copy() for plane in planes_of(frame.picture)]
        for number, (plane, label) in enumerate(zip(planes, self._planes, strict=True)):
            horizontal, vertical = layout.subsampling if number else (0, 0)
            self._paste(plane, label, (1 << vertical, 1 << horizontal))
        alpha = frame.alpha
        if alpha is not None:
            alpha = alpha.copy()
            self._paste(alpha, opaque(self._planes[0].shape, layout.depth))
        return replace(frame, picture=picture_of(planes, layout), alpha=alpha)

    def _draw(self, text: str) -> list[Plane]:
        """The planes of a label in the layout of the video, as they are stored."""
        info = self._info
        shown = (info.width, info.height) if self._orientation.transposed else (info.height, info.width)
        label = self._orientation.stored(draw_label(text, *shown))
        gray = torch.from_numpy(label.copy()) / 255 * _WHITE.get(info.tags["color_trc"], 1.0)
        return planes_of(from_rgb(gray.expand(3, *label.shape), info.color))

    def _paste(self, plane: Plane, label: Plane, steps: tuple[int, int] = (1, 1)) -> None:
        """Copy a label into a plane, in place, at a multiple of 4 pixels; ``steps`` are the pixels of a sample."""
        corner = (self._orientation.flips_rows, self._orientation.flips_columns)
        size = (self._info.height, self._info.width)
        top, left = (
            max(0, (whole - extent * step) // _MULTIPLE * _MULTIPLE // step) if at_end else 0
            for whole, extent, step, at_end in zip(size, label.shape, steps, corner, strict=True)
        )
        place = plane[top : top + label.shape[0], left : left + label.shape[1]]
        place[:] = label[: place.shape[0], : place.shape[1]]


def draw_label(text: str, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Draw white text on black, broken into lines that fit into a frame.

    Args:
        text: words, separated by spaces.
        height: of the frame in pixels.
        width: of the frame in pixels.

    Returns:
        ``(h, w)`` from 0 (black) to 255 (white), divisible by 4; larger than the frame only if that has less than 4.
    """
    size = max(_SIZES[1], round(_SHARE * min(height, width)))
    while True:
        font = ImageFont.load_default(size)
        margin = size // 3
        lines = _broken(text, font, width - 2 * margin)
        box_width = round(max(font.getlength(line) for line in lines)) + 2 * margin
        line_height = round(1.3 * size)
        box_height = len(lines) * line_height + margin
        if size <= _SIZES[0] or (box_width <= width and box_height <= _HIGHEST * height):
            break
        size -= 1
    label = Image.new("L", (_fitting(box_width, width), _fitting(box_height, height)))
    draw = ImageDraw.Draw(label)
    for number, line in enumerate(lines):
        draw.text((margin, margin // 2 + number * line_height), line, 255, font)
    return np.array(label)


def _broken(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """Lines of words, each as long as fits into a width; a longer word has a line of its own."""
    first, *words = text.split()
    lines = [first]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _fitting(wanted: int, available: int) -> int:
    """The next multiple of 4, or the largest one that is available."""
    return max(_MULTIPLE, min(-(-wanted // _MULTIPLE), available // _MULTIPLE) * _MULTIPLE)
