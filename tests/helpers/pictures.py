"""Rendered pictures that are difficult to interpolate, with their true middle frames.

A scene is a function of position and time. Each frame is computed from it directly, with ``_SAMPLES`` x ``_SAMPLES``
point samples for each pixel and their mean, so no frame depends on another or on any code of ``ls3d``. Positions are in
pixels, (0, 0) is the top left corner; times are from 0, the first frame, to 1, the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

HEIGHT = 160
WIDTH = 224
_SAMPLES = 3

#: Color ``(3, h, w)`` at rows ``(h, 1)``, columns ``(1, w)`` and a time.
Scene = Callable[[Tensor, Tensor, float], Tensor]

Point = tuple[float, float]
Color = tuple[float, float, float]

_BLACK: Color = (0.0, 0.0, 0.0)
_WHITE: Color = (1.0, 1.0, 1.0)
_INK: Color = (0.08, 0.06, 0.1)


class Triplet(NamedTuple):
    """Frames ``(1, 3, HEIGHT, WIDTH)`` in [0, 1] at the times 0, 1/2 and 1."""

    first: Tensor
    middle: Tensor
    second: Tensor


def render(name: str) -> Triplet:
    """The frames of a scene of ``SCENES``."""
    return Triplet(*(render_frame(SCENES[name], time) for time in (0.0, 0.5, 1.0)))


def render_frame(scene: Scene, time: float) -> Tensor:
    """A scene at a time, ``(1, 3, HEIGHT, WIDTH)``."""
    y = (torch.arange(HEIGHT * _SAMPLES) + 0.5)[:, None] / _SAMPLES
    x = (torch.arange(WIDTH * _SAMPLES) + 0.5)[None] / _SAMPLES
    return F.avg_pool2d(scene(y, x, time)[None], _SAMPLES).clamp(0, 1)


class _Texture:
    """Noise with as much power in every octave, as natural pictures have; a sum of waves that any point can sample.

    Args:
        seed: of the waves.
        shortest: wavelength, in pixels.
        longest: wavelength, in pixels.
        contrast: standard deviation.
    """

    def __init__(self, seed: int, shortest: float = 6.0, longest: float = 80.0, contrast: float = 0.15) -> None:
        generator = torch.Generator().manual_seed(seed)
        count = 200
        octave = torch.rand(count, generator=generator)
        wavelength = shortest * (longest / shortest) ** octave
        direction = math.pi * torch.rand(count, generator=generator)
        self._down = 2 * math.pi * direction.sin() / wavelength
        self._right = 2 * math.pi * direction.cos() / wavelength
        phases = 2 * math.pi * torch.rand(count, generator=generator)
        shift = 0.35 * torch.randn(3, count, generator=generator)  # colors share most of their brightness
        self._amplitude = torch.polar(torch.full((3, count), contrast * math.sqrt(2 / count)), phases + shift)

    def __call__(self, y: Tensor, x: Tensor) -> Tensor:
        rows = torch.exp(1j * y * self._down)
        columns = torch.exp(1j * x.mT * self._right)
        return 0.5 + torch.stack([((rows * amplitude) @ columns.mT).real for amplitude in self._amplitude])


def _paint(picture: Tensor, color: Color | Tensor, distance: Tensor, opacity: float = 1.0) -> Tensor:
    """Paint over a picture where the signed distance to an outline, in pixels, is positive, which is inside."""
    paint = color if isinstance(color, Tensor) else torch.tensor(color)[:, None, None]
    coverage = (distance * _SAMPLES + 0.5).clamp(0, 1) * opacity
    return picture + (paint - picture) * coverage


def _ink_and_fill(picture: Tensor, color: Color, distance: Tensor, ink: Color = _INK, width: float = 2.0) -> Tensor:
    """Paint a flat shape with an outline ``width`` pixels wide around it."""
    return _paint(_paint(picture, ink, distance + width), color, distance)


def _capsule(y: Tensor, x: Tensor, start: Point, end: Point, radius: float) -> Tensor:
    """Signed distance ``(h, w)`` to a line from ``start`` to ``end`` (y, x) that is twice ``radius`` wide."""
    down = end[0] - start[0]
    right = end[1] - start[1]
    along = ((y - start[0]) * down + (x - start[1]) * right) / (down**2 + right**2)
    along = along.clamp(0, 1)
    return radius - torch.hypot(y - start[0] - along * down, x - start[1] - along * right)


def _disk(y: Tensor, x: Tensor, center: Point, radius: float) -> Tensor:
    return radius - torch.hypot(y - center[0], x - center[1])


def _box(y: Tensor, x: Tensor, top: float, left: float, bottom: float, right: float) -> Tensor:
    vertical = torch.minimum(y - top, bottom - y)
    return torch.minimum(vertical, torch.minimum(x - left, right - x))


def _polar(center: Point, angle: float, length: float) -> Point:
    """The point at a distance from ``center`` in a direction, in degrees clockwise from the right."""
    radians = math.radians(angle)
    return center[0] + length * math.sin(radians), center[1] + length * math.cos(radians)


def _union(distances: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(distances)).amax(0)


def logo(y: Tensor, x: Tensor, time: float) -> Tensor:
    """An opaque logo in a corner over a texture that moves by 9 pixels."""
    picture = _Texture(1)(y - 2 * time, x - 8.8 * time)
    return _paint(_paint(picture, _WHITE, _emblem(y, x)), (0.8, 0.1, 0.15), _disk(y, x, (34, 186), 5))


def watermark(y: Tensor, x: Tensor, time: float) -> Tensor:
    """The same logo, with an opacity of a third."""
    return _paint(_Texture(1)(y - 2 * time, x - 8.8 * time), _WHITE, _emblem(y, x), opacity=1 / 3)


def _emblem(y: Tensor, x: Tensor) -> Tensor:
    """A ring with two bars below it."""
    ring = 2.5 - (torch.hypot(y - 34, x - 186) - 14).abs()
    return _union([ring, _box(y, x, 54, 168, 57, 204), _box(y, x, 60, 174, 63, 198)])


#: Strokes (y, x to y, x) of letters in a square of 1.
_LETTERS: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "A": ((1, 0, 0, 0.5), (0, 0.5, 1, 1), (0.65, 0.2, 0.65, 0.8)),
    "E": ((0, 0, 1, 0), (0, 0, 0, 0.9), (0.5, 0, 0.5, 0.75), (1, 0, 1, 0.9)),
    "H": ((0, 0, 1, 0), (0, 1, 1, 1), (0.5, 0, 0.5, 1)),
    "I": ((0, 0.5, 1, 0.5),),
    "L": ((0, 0, 1, 0), (1, 0, 1, 0.9)),
    "M": ((1, 0, 0, 0), (0, 0, 0.7, 0.5), (0.7, 0.5, 0, 1), (0, 1, 1, 1)),
    "N": ((1, 0, 0, 0), (0, 0, 1, 1), (1, 1, 0, 1)),
    "T": ((0, 0, 0, 1), (0, 0.5, 1, 0.5)),
    "W": ((0, 0, 1, 0.25), (1, 0.25, 0.3, 0.5), (0.3, 0.5, 1, 0.75), (1, 0.75, 0, 1)),
}


def subtitles(y: Tensor, x: Tensor, time: float) -> Tensor:
    """Two lines of white text with a black outline over a texture that moves by 8 pixels."""
    picture = _Texture(2)(y - 1 * time, x + 8.3 * time)
    strokes = [*_strokes("WHEN ALL THE", 118, 40), *_strokes("MEN WAIT IN LINE", 138, 16)]
    rows = slice(112 * _SAMPLES, 154 * _SAMPLES)  # the only ones that the text may cover
    text = torch.full((y.shape[0], x.shape[1]), -math.inf)
    text[rows] = _union([_capsule(y[rows], x, start, end, 1.0) for start, end in strokes])
    return _ink_and_fill(picture, _WHITE, text, _BLACK, 1.2)


def _strokes(text: str, top: float, left: float) -> list[tuple[Point, Point]]:
    """The strokes of capital letters that are 10 pixels high and 7 wide."""
    strokes = []
    for number, letter in enumerate(text):
        for start_y, start_x, end_y, end_x in _LETTERS.get(letter, ()):
            start = (top + 10 * start_y, left + 12 * number + 7 * start_x)
            strokes.append((start, (top + 10 * end_y, left + 12 * number + 7 * end_x)))
    return strokes


def letterbox(y: Tensor, x: Tensor, time: float) -> Tensor:
    """Black bars above and below a texture that moves by 9 pixels, towards the upper one."""
    picture = _Texture(3)(y + 7 * time, x - 5.4 * time)
    bars = _union([20 - y, y - 140]).expand(picture.shape[1:])
    return _paint(picture, _BLACK, bars)


def fade(y: Tensor, x: Tensor, time: float) -> Tensor:
    """A texture that moves by 5 pixels and loses a quarter of its brightness."""
    return _Texture(4)(y - 2 * time, x - 4.6 * time) * (0.9 - 0.225 * time)


def animation(y: Tensor, x: Tensor, time: float) -> Tensor:
    """A flat-shaded figure with outlines that walks by 14 pixels and lifts an arm in front of a background at rest."""
    picture = torch.tensor((0.62, 0.8, 0.95))[:, None, None].expand(3, y.shape[0], x.shape[1])
    picture = _paint(picture, (0.98, 0.9, 0.55), _disk(y, x, (36, 40), 18))
    picture = _ink_and_fill(picture, (0.45, 0.7, 0.4), _disk(y, x, (230, 60), 120))
    picture = _ink_and_fill(picture, (0.55, 0.78, 0.45), _disk(y, x, (260, 180), 140))
    right = 100 + 14 * time
    shoulder = (84.0, right)
    hip = (112.0, right)
    swing = 24 * (0.5 - time)
    trousers: Color = (0.2, 0.25, 0.5)
    skin: Color = (0.96, 0.78, 0.65)
    picture = _ink_and_fill(picture, trousers, _capsule(y, x, hip, _polar(hip, 90 + swing, 30), 5))
    picture = _ink_and_fill(picture, trousers, _capsule(y, x, hip, _polar(hip, 90 - swing, 30), 5))
    picture = _ink_and_fill(picture, (0.85, 0.25, 0.2), _capsule(y, x, (88, right), (108, right), 11))
    picture = _ink_and_fill(picture, skin, _disk(y, x, (60, right), 13))
    picture = _ink_and_fill(picture, (0.35, 0.2, 0.1), torch.minimum(_disk(y, x, (60, right), 14), 54 - y), width=1.5)
    picture = _paint(picture, _INK, _disk(y, x, (59, right + 6), 1.8))
    return _ink_and_fill(picture, skin, _capsule(y, x, shoulder, _polar(shoulder, 40 - 50 * time, 26), 4))


def fence(y: Tensor, x: Tensor, time: float) -> Tensor:
    """Pickets, one every 11 pixels, that move by 5 pixels in front of a texture that moves by 1 pixel."""
    own = x - 4.7 * time
    across = (own % 11 - 5.5).abs().expand(y.shape[0], -1)
    top = 52 + 0.8 * across  # pointed
    pickets = torch.minimum(2.8 - across, y - top)
    rails = _union([3 - (y - 78).abs(), 3 - (y - 132).abs()]).expand_as(across)
    picture = _paint(_Texture(5)(y, x - 1.2 * time), (0.78, 0.72, 0.62), rails)
    return _paint(picture, (0.93, 0.9, 0.84), pickets)


def facade(y: Tensor, x: Tensor, time: float) -> Tensor:
    """A wall with windows, one every 18 pixels, that moves by 7 pixels before a sky at rest."""
    sky = torch.stack([0.5 + y / 400, 0.65 + y / 500, 0.9 - y / 800]).expand(3, -1, x.shape[1])
    own_y = y - 1.5 * time
    own_x = x - 7.1 * time
    picture = _paint(sky, (0.7, 0.6, 0.5), _box(own_y, own_x, 24, -30, 400, 178))
    column = (own_x % 18 - 9).abs()
    row = (own_y % 24 - 12).abs()
    on_wall = _box(own_y, own_x, 24, -30, 400, 162)
    frames = torch.minimum(torch.minimum(5.5 - column, 8.5 - row), on_wall)
    panes = torch.minimum(torch.minimum(4.2 - column, 7.2 - row), on_wall)
    bars = torch.minimum(torch.minimum(0.6 - column, 7.2 - row), on_wall)
    picture = _paint(picture, (0.92, 0.9, 0.88), frames)
    picture = _paint(picture, (0.2, 0.25, 0.35), panes)
    return _paint(picture, (0.92, 0.9, 0.88), bars)


def wires(y: Tensor, x: Tensor, time: float) -> Tensor:
    """Five wires, 1.6 pixels wide, that move by 7 pixels in front of soft clouds that move by 1 pixel."""
    picture = (
        _Texture(6, shortest=40, longest=160, contrast=0.1)(y, x - time) + torch.tensor([0, 0.1, 0.25])[:, None, None]
    )
    for number in range(5):
        left = (14 + 26 * number - 6.6 * time, -20.0 - 2.2 * time)
        right = (34 + 21 * number - 6.6 * time, 244.0 - 2.2 * time)
        picture = _paint(picture, (0.12, 0.1, 0.1), _capsule(y, x, left, right, 0.8))
    return picture


def limb(y: Tensor, x: Tensor, time: float) -> Tensor:
    """A thin arm that turns by 25 degrees around its shoulder in front of a texture that moves by 2 pixels."""
    picture = _Texture(7)(y, x - 2 * time)
    shoulder = (120.0, 60.0)
    elbow = _polar(shoulder, -25 - 25 * time, 60)
    hand = _polar(elbow, -35 - 25 * time, 40)
    picture = _paint(picture, (0.92, 0.72, 0.6), _capsule(y, x, shoulder, elbow, 5))
    return _paint(picture, (0.92, 0.72, 0.6), _union([_capsule(y, x, elbow, hand, 4), _disk(y, x, hand, 6)]))


SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (logo, watermark, subtitles, letterbox, fade, animation, fence, facade, wires, limb)
}
