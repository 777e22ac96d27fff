"""Rendered clips: textures that move by known amounts, with exact occlusions, at any time.

A scene is a background and sprites in front of it, each with a texture, a shape and a linear motion. Rendering a scene
at times t gives frames that no interpolation was needed for, so they are the truth for any network that interpolates,
and ``motion`` gives the true displacement of every visible pixel.

Scenes depend on nothing but the generator that they are drawn with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

#: Samples along each side of a pixel; their mean is the pixel, so edges are antialiased.
_SUPERSAMPLING = 2


@dataclass(frozen=True)
class Layer:
    """One moving texture.

    Attributes:
        texture: ``(3, S, S)`` in [0, 1], one sample per pixel; it repeats beyond its borders.
        shape: ``(1, S, S)``, signed distance to the outline in pixels, positive inside; None fills the frame.
        center: (y, x) of the layer's origin in the frame at t = 0, in pixels.
        velocity: (y, x), pixels from t = 0 to t = 1.
        angle: rotation at t = 0, in radians.
        spin: radians from t = 0 to t = 1.
    """

    texture: Tensor
    shape: Tensor | None
    center: tuple[float, float]
    velocity: tuple[float, float]
    angle: float = 0.0
    spin: float = 0.0


def render(layers: Sequence[Layer], times: Sequence[float], size: tuple[int, int]) -> Tensor:
    """Render a scene.

    Args:
        layers: from back to front; the first must fill the frame.
        times: at which to render; motion is linear in time.
        size: height and width.

    Returns:
        ``(3, len(times), H, W)`` in [0, 1].
    """
    grid = _pixel_grid(size, _SUPERSAMPLING)
    frames = []
    for time in times:
        frame = grid.new_zeros(3, *grid.shape[1:])
        for layer in layers:
            frame = torch.lerp(frame, *_sample(layer, time, grid))
        frames.append(F.avg_pool2d(frame, _SUPERSAMPLING))
    return torch.stack(frames, dim=1).clamp(0, 1)


def motion(layers: Sequence[Layer], time: float, size: tuple[int, int]) -> Tensor:
    """True motion ``(2, H, W)``, (dy, dx) in pixels from t = 0 to t = 1, of what each pixel shows at ``time``."""
    grid = _pixel_grid(size, 1)
    result = torch.zeros_like(grid)
    for layer in layers:
        own = _layer_coordinates(layer, time, grid)
        moved = _frame_coordinates(layer, 1.0, own) - _frame_coordinates(layer, 0.0, own)
        covered = _coverage(layer, own) > 0.5
        result = torch.where(covered, moved, result)
    return result


def random_texture(
    generator: torch.Generator, size: int = 128, slope: float | None = None, cutoff: float = 0.35
) -> Tensor:
    """Band-limited noise ``(3, size, size)`` in [0, 1] with the spectrum ``1 / f**slope`` of natural images.

    Args:
        generator: of all randomness.
        size: height and width; the texture repeats without a seam.
        slope: 1 is natural, 0 white; None draws it from [0.6, 1.6].
        cutoff: highest frequency, in cycles per pixel. Above 0.35 a sample between pixels is not resolved by them.
    """
    if slope is None:
        slope = 0.6 + float(torch.rand((), generator=generator))
    frequency = torch.fft.fftfreq(size)
    radius = torch.sqrt(frequency[:, None] ** 2 + frequency[None] ** 2)
    amplitude = torch.where((radius > 0) & (radius < cutoff), radius.clamp(min=1 / size) ** -slope, 0.0)
    noise = torch.randn(4, size, size, generator=generator)
    channels = torch.fft.ifft2(torch.fft.fft2(noise) * amplitude).real
    channels = channels / channels.std(dim=(1, 2), keepdim=True)
    # Colors share most of their brightness, as natural ones do.
    mixed = 0.85 * channels[3] + 0.5 * channels[:3]
    contrast = 0.1 + 0.15 * torch.rand((), generator=generator)
    mean = 0.3 + 0.4 * torch.rand(3, 1, 1, generator=generator)
    texture: Tensor = (mean + contrast * mixed).clamp(0, 1)
    return texture


def random_outline(generator: torch.Generator, size: int = 128, radius: float = 16.0) -> Tensor:
    """A random star-shaped outline: signed distance ``(1, size, size)`` in pixels, positive inside.

    Args:
        generator: of all randomness.
        size: height and width; the outline is around its middle.
        radius: mean distance of the outline from the middle, in pixels.
    """
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    angle = torch.atan2(y, x)
    outline = torch.full_like(angle, radius)
    for waves in range(1, 6):
        phase = 2 * math.pi * torch.rand((), generator=generator)
        height = 0.3 * radius / waves * torch.rand((), generator=generator)
        outline = outline + height * torch.sin(waves * angle + phase)
    return (outline - torch.hypot(y, x))[None]


def random_scene(
    generator: torch.Generator,
    size: tuple[int, int],
    speed: float,
    sprites: int = 1,
    radius: float | None = None,
    cutoff: float = 0.35,
) -> list[Layer]:
    """A background and sprites that all move at the same speed in independent directions.

    Args:
        generator: of all randomness.
        size: height and width of the frames.
        speed: pixels from t = 0 to t = 1 of every layer.
        sprites: layers in front of the background.
        radius: of the sprites, in pixels; a quarter of the smaller side by default.
        cutoff: of the textures, see :func:`random_texture`.
    """
    radius = min(size) / 4 if radius is None else radius
    layers = []
    for number in range(1 + sprites):
        direction = 2 * math.pi * float(torch.rand((), generator=generator))
        place = torch.rand(2, generator=generator).tolist()
        layers.append(
            Layer(
                texture=random_texture(generator, cutoff=cutoff),
                shape=random_outline(generator, radius=radius) if number else None,
                center=(place[0] * size[0], place[1] * size[1]),
                velocity=(speed * math.sin(direction), speed * math.cos(direction)),
            )
        )
    return layers


def occluding_scene(
    generator: torch.Generator, size: tuple[int, int], speed: float, draw_texture: Callable[[], Tensor]
) -> list[Layer]:
    """A background and one to four sprites, which each move and turn in their own way.

    Args:
        generator: of all randomness but that of ``draw_texture``.
        size: height and width of the frames.
        speed: of the fastest layers, in pixels from t = 0 to t = 1; a quarter of them is slower than a sixteenth of it.
        draw_texture: returns the texture of a layer, see ``Layer``.
    """

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    layers = []
    for number in range(1 + int(torch.randint(1, 5, (), generator=generator))):
        radius = round(min(size) * uniform(0.08, 0.3))
        direction, length = uniform(0, 2 * math.pi), speed * uniform(0, 1) ** 2
        turns = bool(torch.randint(2, (), generator=generator))
        layers.append(
            Layer(
                texture=draw_texture(),
                shape=random_outline(generator, 4 * radius, radius) if number else None,
                center=(uniform(0, size[0]), uniform(0, size[1])),
                velocity=(length * math.sin(direction), length * math.cos(direction)),
                angle=uniform(0, 2 * math.pi) if number else 0.0,
                spin=uniform(-0.5, 0.5) if number and turns else 0.0,
            )
        )
    return layers


def mirrored(texture: Tensor) -> Tensor:
    """A texture ``(3, S, S)`` as ``(3, 2 * S, 2 * S)`` that repeats without a seam."""
    wide = torch.cat([texture, texture.flip(-1)], dim=-1)
    return torch.cat([wide, wide.flip(-2)], dim=-2)


def _pixel_grid(size: tuple[int, int], samples: int) -> Tensor:
    """Positions ``(2, samples * H, samples * W)``, (y, x) in pixels; a pixel's center is at half-integers."""
    height, width = (torch.arange(side * samples).add(0.5).div(samples) for side in size)
    return torch.stack(torch.meshgrid(height, width, indexing="ij"))


def _layer_coordinates(layer: Layer, time: float, grid: Tensor) -> Tensor:
    """Positions in the frame as positions in the layer, relative to its origin."""
    center = grid.new_tensor(layer.center) + time * grid.new_tensor(layer.velocity)
    return _rotated(grid - center[:, None, None], -(layer.angle + time * layer.spin))


def _frame_coordinates(layer: Layer, time: float, own: Tensor) -> Tensor:
    """The inverse of ``_layer_coordinates``."""
    center = own.new_tensor(layer.center) + time * own.new_tensor(layer.velocity)
    return _rotated(own, layer.angle + time * layer.spin) + center[:, None, None]


def _rotated(positions: Tensor, angle: float) -> Tensor:
    y, x = positions
    cosine = math.cos(angle)
    sine = math.sin(angle)
    return torch.stack([cosine * y + sine * x, cosine * x - sine * y])


def _sample(layer: Layer, time: float, grid: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's color ``(3, ...)`` and opacity ``(1, ...)`` at the positions of the grid."""
    own = _layer_coordinates(layer, time, grid)
    return _wrapped(layer.texture, own), _coverage(layer, own)[None]


def _coverage(layer: Layer, own: Tensor) -> Tensor:
    if layer.shape is None:
        return torch.ones_like(own[0])
    side = layer.shape.shape[-1]
    distance = _bicubic(layer.shape, own + side / 2, padding="border")[0]
    outside = (own.abs() > side / 2 - 1).any(dim=0)
    # Opacity ramps over one sample of the supersampled grid.
    return torch.where(outside, 0.0, (distance * _SUPERSAMPLING + 0.5).clamp(0, 1))


def _wrapped(texture: Tensor, own: Tensor) -> Tensor:
    """The texture, repeated without end, at positions relative to its middle."""
    side = texture.shape[-1]
    margin = 4  # samples that the bicubic kernel sees beyond the border
    padded = F.pad(texture[None], (margin,) * 4, mode="circular")[0]
    return _bicubic(padded, (own + side / 2) % side + margin, padding="border")


def _bicubic(image: Tensor, positions: Tensor, padding: str) -> Tensor:
    """``(C, S, S)`` at positions ``(2, h, w)`` in pixels, (y, x), bicubically (Keys, a = -0.75 as torch has it)."""
    side = image.shape[-1]
    grid = (2 * positions / side - 1).flip(0).permute(1, 2, 0)[None]
    return F.grid_sample(image[None], grid, mode="bicubic", padding_mode=padding, align_corners=False)[0]
