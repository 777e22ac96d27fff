"""Figures of samples, gradients, offsets and masks, drawn with Matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ls3d.errors import InputError, require
from ls3d.explain.fields import OffsetField
from ls3d.explain.statistics import SpreadStatistics
from ls3d.explain.videos import PathLike, PixelTrace
from ls3d.files import atomic_write

#: What is drawn on the input frames: the samples, or the gradient.
Kind = Literal["samples", "density"]

FloatArray = npt.NDArray[np.float64]

_CAPTIONS: dict[Kind, str] = {
    "samples": "Red cross: place of the output pixel. Circles: samples that it is made of; their area is their weight.",
    "density": "Red cross: place of the output pixel. The brighter a pixel, the more the output pixel depends on it.",
}
_MARK = "#ff2020"  # of the output pixel
_POINT = "#ffe000"  # of samples
_PANEL = 2.6  # side of a panel, in inches
_SMALLEST = 12  # pixels from the middle to the border of the shown region
_LARGEST = 64
_AREA = 600.0  # of the mark of a sample with all weight, in square points
_WHEEL = 0.35  # side of the color wheel, in inches
_LINEAR_SPREAD = 0.1  # pixels, below which the axis of the spread is linear, above logarithmic
_ARROWS = 16  # along the longer side of a field


def require_drawing() -> None:
    """Check that figures can be drawn.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    require("matplotlib", "plot")


def draw_pixels(pixels: Sequence[PixelTrace], kind: Kind = "samples", radius: int | None = None) -> Any:
    """Draw where an output pixel comes from: a row for each network, the output beside its input frames.

    Args:
        pixels: the same pixel by each network.
        kind: what is drawn on the input frames.
        radius: pixels from the middle to the border of the shown region; by default what holds most of the weight.

    Returns:
        A ``matplotlib.figure.Figure``.
    """
    from matplotlib.figure import Figure

    columns = max(len(pixel.numbers) for pixel in pixels) + 1
    radius = radius or max(shown_radius(pixel) for pixel in pixels)
    figure = Figure(figsize=(_PANEL * columns, (_PANEL + 0.55) * len(pixels) + 0.3), layout="constrained")
    for pixel, row in zip(pixels, figure.subplots(len(pixels), columns, squeeze=False), strict=True):
        _draw_output(row[0], pixel, radius)
        for index, axes in enumerate(row[1:]):
            if index < len(pixel.numbers):
                _draw_input(axes, pixel, index, kind, radius)
            else:
                axes.set_axis_off()
    figure.supxlabel(_CAPTIONS[kind], fontsize=8)
    return figure


def shown_radius(pixel: PixelTrace) -> int:
    """The distance from the output pixel within which its strongest samples are, in pixels of the input, and a bit."""
    x, y = pixel.position
    points = pixel.points.strongest()
    reach = max(abs(points.x - x).max(initial=0), abs(points.y - y).max(initial=0))
    return int(np.clip(1.25 * reach + 4, _SMALLEST, _LARGEST))


def draw_fields(fields: Sequence[OffsetField]) -> Any:
    """Draw offsets and masks: a row for each layer, for each of its input frames a field of arrows and a heat map.

    Args:
        fields: from ``offset_fields``, at least one.

    Returns:
        A ``matplotlib.figure.Figure``.
    """
    from matplotlib.figure import Figure

    layers: dict[str, list[OffsetField]] = {}
    for field in fields:
        layers.setdefault(field.layer or "the network itself", []).append(field)
    columns = max(map(len, layers.values()))
    shape = fields[0].mask.shape
    size = (2 * _PANEL * columns + 1, (_PANEL * shape[0] / shape[1] + 0.55) * len(layers) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(layers), 2 * columns, squeeze=False)
    for (layer, row), axes in zip(layers.items(), grid, strict=True):
        longest = max(float(np.quantile(np.hypot(*field.offset), 0.99)) for field in row)
        for axis in axes:
            axis.set_axis_off()
        for number, field in enumerate(row):
            _draw_offsets(axes[2 * number], field, longest, "" if number else layer)
            _draw_mask(figure, axes[2 * number + 1], field)
    figure.supxlabel(
        "Offset: where a position samples that frame (color: direction, as in the wheel; arrows: to scale).\n"
        "Mask: how much the samples count.",
        fontsize=8,
    )
    _draw_wheel(figure)
    return figure


def draw_spread(statistics: dict[str, SpreadStatistics]) -> Any:
    """Draw the spread of samples against motion, with the rank correlation, for each network.

    Returns:
        A ``matplotlib.figure.Figure``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(statistics), 3.6), layout="constrained")
    grid = figure.subplots(1, len(statistics), squeeze=False, sharey=True)[0]
    for (model, measured), axes in zip(statistics.items(), grid, strict=True):
        axes.scatter(measured.motion, measured.spread, s=9, alpha=0.4, linewidths=0)
        centers, medians = _medians(measured)
        axes.plot(centers, medians, color=_MARK, label="median")
        axes.set_title(f"{model}: Spearman {measured.correlation():.2f}, {len(measured.motion)} pixels", fontsize=10)
        axes.set_xlabel("motion between the frames, pixels")
        axes.set_yscale("symlog", linthresh=_LINEAR_SPREAD)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend()
    grid[0].set_ylabel("spread of the samples, pixels")
    return figure


def save_figure(figure: Any, path: PathLike, argument: str = "output") -> None:
    """Write a figure; the suffix, such as ``.png`` or ``.svg``, chooses the format.

    Raises:
        InputError: Matplotlib doesn't write this format.
    """
    target = Path(path)
    try:
        with atomic_write(target) as temporary:
            figure.savefig(temporary, format=target.suffix.removeprefix(".") or None, dpi=100)
    except ValueError as error:  # unknown format
        raise InputError(f"{target}: {error}", argument=argument) from error


def rasterize(figure: Any) -> npt.NDArray[np.uint8]:
    """The pixels of a figure, ``(H, W, 3)``; height and width are even."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    return np.ascontiguousarray(pixels[: len(pixels) // 2 * 2, : pixels.shape[1] // 2 * 2])


def _draw_output(axes: Any, pixel: PixelTrace, radius: int) -> None:
    """The whole output, with the pixel and the region that the other panels show."""
    from matplotlib.patches import Rectangle

    scale = pixel.output.shape[0] / pixel.frames.shape[1]
    axes.imshow(pixel.output, interpolation="nearest")
    side = 2 * radius * scale
    corner = (pixel.x - side / 2, pixel.y - side / 2)
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="white", linewidth=1.2))
    axes.plot(pixel.x, pixel.y, "+", color=_MARK, markersize=9, markeredgewidth=1.8)
    axes.set_title(f"{pixel.model}\noutput pixel ({pixel.x}, {pixel.y})", fontsize=9)
    axes.set_axis_off()


def _draw_input(axes: Any, pixel: PixelTrace, index: int, kind: Kind, radius: int) -> None:
    """The region of an input frame around the output pixel, with the samples or the gradient."""
    points = pixel.points
    x, y = pixel.position
    own = points.frame == index
    if kind == "samples":
        axes.imshow(pixel.frames[index], interpolation="nearest")
        strong = points.strongest()
        shown = strong.frame == index
        area = np.maximum(_AREA * strong.weight[shown] / points.total, 1)
        style = {"color": _POINT, "alpha": 0.7, "edgecolors": "black", "linewidths": 0.4}
        axes.scatter(strong.x[shown], strong.y[shown], area, **style)
        _draw_arrow(axes, (x, y), strong.center(index))
        share = points.weight[own] / points.total
        caption = f"{share.sum():.0%} of the weight"
    else:
        gray = pixel.frames[index].mean(axis=2)
        axes.imshow(0.6 * gray, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        strength = np.sqrt(pixel.density[index] / max(float(pixel.density.max()), 1e-12))
        axes.imshow(
            strength, cmap="inferno", vmin=0, vmax=1, alpha=np.clip(2 * strength, 0, 1), interpolation="nearest"
        )
        caption = f"{pixel.density[index].sum() / max(pixel.density.sum(), 1e-12):.0%} of the gradient"
    axes.plot(x, y, "+", color=_MARK, markersize=9, markeredgewidth=1.8)
    axes.set_xlim(x - radius, x + radius)
    axes.set_ylim(y + radius, y - radius)
    axes.set_facecolor("0.85")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"frame {pixel.numbers[index]}\n{caption}", fontsize=9)


def _draw_arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From the place of the output pixel to the center of the samples, if that is elsewhere."""
    if np.hypot(end[0] - start[0], end[1] - start[1]) > 1:
        style = {"arrowstyle": "->", "color": _MARK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", end, start, arrowprops=style, zorder=1)


def _draw_offsets(axes: Any, field: OffsetField, longest: float, layer: str) -> None:
    """Directions as colors, as in the wheel of the title, and as arrows."""
    height, width = field.mask.shape
    axes.imshow(color_wheel(field.offset, longest), interpolation="nearest")
    step = max(1, max(height, width) // _ARROWS)
    rows, columns = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    dy, dx = field.offset[:, rows, columns]
    scale = max(longest, 1e-6) / step
    axes.quiver(columns, rows, dx, dy, angles="xy", scale_units="xy", scale=scale, width=0.005, color="black")
    axes.set_title(f"{layer}\noffset into frame {field.frame}, up to {longest:.1f} px", fontsize=8)


def _draw_wheel(figure: Any) -> None:
    """The colors of all directions, in the lower left corner."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0.1 / width, 0.05 / height, _WHEEL / width, _WHEEL / height))
    axes.set_in_layout(False)
    y, x = np.mgrid[-1:1:41j, -1:1:41j]
    axes.imshow(np.dstack([color_wheel(np.stack([y, x]), 1.0), np.hypot(y, x) <= 1]))
    axes.set_axis_off()


def _draw_mask(figure: Any, axes: Any, field: OffsetField) -> None:
    image = axes.imshow(field.mask, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(f"\nmask of frame {field.frame}", fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.7)


def color_wheel(offset: FloatArray, longest: float) -> FloatArray:
    """Directions as hues and lengths as saturations: white doesn't move, red is to the right, cyan to the left.

    Args:
        offset: ``(2, H, W)``, (dy, dx).
        longest: length of full saturation.

    Returns:
        ``(H, W, 3)`` in [0, 1].
    """
    from matplotlib.colors import hsv_to_rgb

    hue = np.arctan2(offset[0], offset[1]) / (2 * np.pi) % 1
    saturation = np.clip(np.hypot(*offset) / max(longest, 1e-6), 0, 1)
    colors: FloatArray = hsv_to_rgb(np.stack([hue, saturation, np.ones_like(hue)], axis=2))
    return colors


def _medians(measured: SpreadStatistics, bins: int = 8) -> tuple[FloatArray, FloatArray]:
    """Median motion and spread of parts with equally many pixels, ordered by motion."""
    order = measured.motion.argsort(kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return (
        np.array([np.median(measured.motion[part]) for part in parts]),
        np.array([np.median(measured.spread[part]) for part in parts]),
    )
