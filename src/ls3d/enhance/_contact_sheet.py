"""Pictures and clips that show the results of several networks beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_MARGIN = 8
_TEXT = 14  # height of letters in pixels
_BAND = 22  # of a line of text
_PAPER = (24, 24, 26)
_INK = (235, 235, 235)
_FAINT = (160, 160, 165)
_FRAME = (255, 80, 60)
_QUALITY = 90  # of WebP


@dataclass(frozen=True)
class Tile:
    """One of the pictures beside each other.

    Attributes:
        title: above it.
        caption: below it.
        frames: ``(H, W, 3)`` uint8 R'G'B' each.
    """

    title: str
    caption: str
    frames: Sequence[npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class Row:
    """The tiles of a task.

    Attributes:
        title: the task.
        whole: the picture that the region is cut from.
        region: left, top, width and height in it.
        tiles: of the same size, with the same number of frames.
        shown: number of the frame that a sheet shows.
    """

    title: str
    whole: npt.NDArray[np.uint8]
    region: tuple[int, int, int, int]
    tiles: Sequence[Tile]
    shown: int


def draw_sheet(rows: Sequence[Row], target: Path) -> None:
    """Write a PNG file: for each row its title, the whole picture with the region marked, and all tiles."""
    strips = [_with_title(row, _strip([_overview(row), *row.tiles], row.shown)) for row in rows]
    width = max(strip.width for strip in strips)
    sheet = Image.new("RGB", (width, sum(strip.height for strip in strips)), _PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    sheet.save(target, "PNG")


def draw_animation(row: Row, rate: float, target: Path) -> None:
    """Write an animated WebP file of all tiles at ``rate`` frames per second; it repeats forever."""
    first, *others = (_strip(row.tiles, number) for number in range(len(row.tiles[0].frames)))
    duration = max(1, round(1000 / rate))
    first.save(
        target, "WEBP", save_all=True, append_images=others, duration=duration, loop=0, quality=_QUALITY, method=2
    )


def _overview(row: Row) -> Tile:
    """The whole picture, as large as a tile, with the region marked."""
    left, top, width, height = row.region
    whole = Image.fromarray(row.whole)
    shape = row.tiles[0].frames[0].shape
    whole.thumbnail((shape[1], shape[0]), Image.Resampling.LANCZOS)
    scale = whole.width / row.whole.shape[1]
    box = (left * scale, top * scale, (left + width) * scale - 1, (top + height) * scale - 1)
    ImageDraw.Draw(whole).rectangle(box, outline=_FRAME, width=2)
    size = f"{row.whole.shape[1]}x{row.whole.shape[0]}"
    return Tile("source", f"whole, {size} pixels", [np.asarray(whole)] * len(row.tiles[0].frames))


def _strip(tiles: Sequence[Tile], number: int) -> Image.Image:
    """One frame of each tile, side by side, with titles and captions."""
    pictures = [Image.fromarray(tile.frames[number]) for tile in tiles]
    font = ImageFont.load_default(_TEXT)
    widths = [
        max(picture.width, round(max(font.getlength(text) for text in (tile.title, tile.caption))))
        for picture, tile in zip(pictures, tiles, strict=True)
    ]
    height = max(picture.height for picture in pictures)
    strip = Image.new("RGB", (sum(widths) + _MARGIN * (len(tiles) + 1), height + 2 * _BAND + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(strip)
    left = _MARGIN
    for tile, picture, width in zip(tiles, pictures, widths, strict=True):
        draw.text((left, 2), tile.title, _INK, font)
        strip.paste(picture, (left, _BAND))
        draw.text((left, _BAND + height + 2), tile.caption, _FAINT, font)
        left += width + _MARGIN
    return strip


def _with_title(row: Row, strip: Image.Image) -> Image.Image:
    titled = Image.new("RGB", (strip.width, strip.height + _BAND + _MARGIN), _PAPER)
    ImageDraw.Draw(titled).text((_MARGIN, _MARGIN), row.title.capitalize(), _INK, ImageFont.load_default(_TEXT + 3))
    titled.paste(strip, (0, _BAND + _MARGIN))
    return titled
