"""Render ``crossing.mp4``, the clip that the README interpolates.

Two seconds at 320 x 180 pixels and 25 frames per second, with stereo sound. Textured objects cross, turn and occlude
each other: a wheel rolls to the right, a checkered card moves to the left in front of it, a ball bounces behind both,
and the background drifts. Every texture is a smooth function of the object's own coordinates, so that sub-pixel motion
is exact. The clip contains no third-party material.

    python examples/make_clip.py [OUT.mp4]
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

WIDTH = 320
HEIGHT = 180
RATE = 25  # frames per second
FRAMES = 50
SAMPLE_RATE = 44100

Array = npt.NDArray[np.float64]
RGB = tuple[float, float, float]


def frame_at(t: float) -> Array:
    """The picture at time ``t``, from 0 at the start of the clip to 1 at its end: ``(HEIGHT, WIDTH, 3)`` in [0, 1]."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    image = _background(x + 24 * t, y - 6 * t)
    for coverage, color in (_ball(x, y, t), _wheel(x, y, t), _card(x, y, t)):  # from back to front
        image += coverage[..., None] * (color - image)
    return np.asarray(image.clip(0, 1))


def _background(x: Array, y: Array) -> Array:
    """Striped hills below a cloudy sky, ``(H, W, 3)``."""
    ridge = 0.5 + 0.5 * np.tanh((y - 96 - 14 * np.sin(x / 47) - 6 * np.sin(x / 19)) / 1.5)
    stripes = 0.5 + 0.5 * np.sin(x / 5 + 2 * np.sin(y / 9)) * np.sin(y / 4)
    clouds = 0.5 + 0.25 * np.sin(x / 23 + np.sin(y / 11)) + 0.25 * np.sin(x / 13 - y / 17)
    ground = _mix(stripes, (0.20, 0.36, 0.22), (0.45, 0.58, 0.30))
    sky = _mix(clouds, (0.42, 0.62, 0.85), (0.88, 0.92, 0.96))
    return np.asarray(sky + ridge[..., None] * (ground - sky))


def _ball(x: Array, y: Array, t: float) -> tuple[Array, Array]:
    """A spotted ball that bounces in the middle of the picture: coverage ``(H, W)`` and color ``(H, W, 3)``."""
    u = x - 160 - 20 * np.sin(2 * np.pi * t)
    v = y - 122 + 70 * abs(np.sin(2 * np.pi * t))
    spots = 0.5 + 0.5 * np.tanh(3 * np.sin(u / 4 + 5 * t) * np.sin(v / 4))
    shade = np.clip(1 - np.hypot(u + 8, v + 8)[..., None] / 60, 0.35, 1)
    return _inside(np.hypot(u, v) - 22), _mix(spots, (0.90, 0.45, 0.10), (1.0, 0.85, 0.35)) * shade


def _wheel(x: Array, y: Array, t: float) -> tuple[Array, Array]:
    """A wheel with spokes that rolls from left to right without slipping: coverage and color."""
    radius = 38.0
    center = -30 + 380 * t
    u, v = _turn(x - center, y - 130, 380 * t / radius)
    distance = np.hypot(u, v)
    angle = np.arctan2(v, u)
    spokes = 0.5 + 0.5 * np.tanh(6 * np.sin(9 * angle) * np.tanh(distance / 8))
    rim = np.maximum(np.abs(distance - 32) - 6, -distance + 5)
    pattern = np.where(rim < 0, 0.5 + 0.5 * np.sin(36 * angle), spokes)
    return _inside(distance - radius), _mix(pattern, (0.12, 0.12, 0.30), (0.85, 0.20, 0.25))


def _card(x: Array, y: Array, t: float) -> tuple[Array, Array]:
    """A checkered card that moves from right to left in front of everything and turns: coverage and color."""
    u, v = _turn(x - 345 + 370 * t, y - 70 - 35 * np.sin(np.pi * t), 0.4 - 2.2 * t)
    checks = 0.5 + 0.5 * np.tanh(5 * np.sin(u * np.pi / 9) * np.sin(v * np.pi / 9))
    color = _mix(checks, (0.10, 0.45, 0.50), (0.95, 0.95, 0.85))
    return _inside(np.maximum(np.abs(u) - 36, np.abs(v) - 27)), color


def _turn(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates in the frame of an object that is turned clockwise by ``angle`` radians."""
    cosine = np.cos(angle)
    sine = np.sin(angle)
    return cosine * x + sine * y, cosine * y - sine * x


def _inside(signed_distance: Array) -> Array:
    """Coverage of pixels at a distance from an edge, in pixels, negative inside the object."""
    return np.asarray(np.clip(0.5 - signed_distance, 0, 1))


def _mix(weight: Array, dark: RGB, light: RGB) -> Array:
    """Blend two colors linearly: ``(H, W)`` to ``(H, W, 3)``."""
    return np.asarray(np.array(dark) + weight[..., None] * (np.array(light) - np.array(dark)))


def sound() -> npt.NDArray[np.float32]:
    """The sound, ``(2, samples)``: a rising tone that moves from left to right, and a tap every second."""
    t = np.arange(SAMPLE_RATE * FRAMES // RATE) / SAMPLE_RATE
    duration = FRAMES / RATE
    tone = 0.20 * np.sin(2 * np.pi * (220 * t + 55 * t**2)) * np.sin(np.pi * t / duration)
    tap = sum(np.exp(-40 * np.abs(t - b)) * np.sin(2 * np.pi * 660 * (t - b)) * (t >= b) for b in (0.0, 1.0))
    left = np.cos(np.pi / 2 * t / duration)
    right = np.sin(np.pi / 2 * t / duration)
    return np.stack([tone * left + 0.2 * tap, tone * right + 0.2 * tap]).astype(np.float32)


def render(path: Path) -> None:
    """Write the clip to ``path``."""
    with av.open(str(path), "w", options={"fflags": "+bitexact", "movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "16", "preset": "slow"})
        video.width = WIDTH
        video.height = HEIGHT
        video.pix_fmt = "yuv420p"
        video.color_range = 1  # limited
        video.colorspace = video.color_primaries = video.color_trc = 1  # BT.709
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        for index in range(FRAMES):
            pixels = np.round(255 * frame_at(index / FRAMES)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(video.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        container.mux(video.encode())
        samples = av.AudioFrame.from_ndarray(sound(), format="fltp", layout="stereo")
        samples.sample_rate = SAMPLE_RATE
        samples.time_base = Fraction(1, SAMPLE_RATE)
        samples.pts = 0
        container.mux(audio.encode(samples))
        container.mux(audio.encode())


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("crossing.mp4")
    render(target)
    print(f"{target}: {FRAMES} frames, {target.stat().st_size} bytes")
