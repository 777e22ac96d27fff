"""From a video to figures, films and arrays of where an output pixel comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ls3d.errors import InputError, OutputExistsError
from ls3d.evaluation.figure import check_figure_path
from ls3d.explain.fields import OffsetField, offset_fields
from ls3d.explain.figures import (
    Kind,
    draw_fields,
    draw_pixels,
    draw_spread,
    rasterize,
    require_drawing,
    save_figure,
    shown_radius,
)
from ls3d.explain.film import check_film, write_film
from ls3d.explain.statistics import SpreadStatistics, measure_spread
from ls3d.explain.videos import PathLike, PixelTrace, load_networks, open_video, save_arrays, trace_pixel, trace_video
from ls3d.files import check_folder_of
from ls3d.video import VideoInfo

#: Suffixes of outputs that are one picture.
PICTURES = (".png", ".svg", ".pdf", ".jpg")


def explain_pixel(
    source: PathLike,
    output: PathLike,
    x: int,
    y: int,
    *,
    frame: int = 0,
    frames: int = 1,
    models: Sequence[str] = ("vfi",),
    time: float = 0.5,
    sigma: float | None = None,
    size: int = 1,
    kind: Kind = "samples",
    layers: PathLike | None = None,
    spread: PathLike | None = None,
    spread_pixels: int = 200,
    device: str = "auto",
    overwrite: bool = False,
) -> dict[str, list[PixelTrace]]:
    """Trace an output pixel of a video back to the input frames, and write what was found.

    Args:
        source: a video, or a folder of images.
        output: the file to write: a picture of ``PICTURES``, which shows the first frame; arrays (``.npz``, see
            ``save_arrays``); or a video of all frames.
        x: column of the output pixel, from 0.
        y: its row.
        frame: number of the frame to restore, or of the first one to interpolate between, from 0.
        frames: number of consecutive output frames.
        models: names or weights files of networks for the same task.
        time: of the output between two frames.
        sigma: standard deviation of the noise in units of [0, 1]; None is estimated.
        size: side of a square patch around the pixel, which is traced as a whole.
        kind: what is drawn on the input frames.
        layers: a picture to draw of offsets and masks of the first network, at the first frame.
        spread: a picture to draw of the spread of samples against motion, over all frames.
        spread_pixels: number of pixels of each output frame at which the spread is measured.
        device: as for ``ls3d.inference.Enhancer``.
        overwrite: whether files that exist are replaced.

    Returns:
        The pixel by each network, in each output frame.

    Raises:
        InputError: an argument is unsuitable, or the video can't be decoded or is too short.
        OutputExistsError: a file to write exists, and ``overwrite`` is not given.
        MissingExtraError: Matplotlib is not installed.
    """
    target = Path(output)
    _check_numbers(frame=(frame, 0), frames=(frames, 1), size=(size, 1), spread_pixels=(spread_pixels, 1))
    _check_outputs(overwrite, output=output, layers=layers, spread=spread)
    networks = load_networks(models)
    video = open_video(source)
    found: dict[str, list[PixelTrace]] = {}
    fields: list[OffsetField] = []
    measured: dict[str, SpreadStatistics] = {}
    for model, network in networks.items():
        parts: list[SpreadStatistics] = []
        for numbers, traced in trace_video(video, network, frame, frames, time=time, sigma=sigma, device=device):
            found.setdefault(model, []).append(trace_pixel(model, numbers, traced, x, y, size))
            if model == models[0] and len(found[model]) == 1:
                fields = offset_fields(traced.calls)
            if spread:
                parts.append(measure_spread(traced, pixels=spread_pixels, seed=len(parts)))
        if spread:
            measured[model] = SpreadStatistics.joined(parts)
    if layers and not fields:
        raise InputError(f"{layers}: {models[0]} has no layers with learnable sampling", argument="layers")
    if layers:
        save_figure(draw_fields(fields), layers, "layers")
    if spread:
        save_figure(draw_spread(measured), spread, "spread")
    _write(list(zip(*found.values(), strict=True)), target, kind, video.info)
    return found


def _write(steps: Sequence[Sequence[PixelTrace]], target: Path, kind: Kind, info: VideoInfo) -> None:
    """Write the pixel by each network, in each output frame, as arrays, a picture or a video."""
    suffix = target.suffix.lower()
    if suffix == ".npz":
        save_arrays([pixel for step in steps for pixel in step], target)
    elif suffix in PICTURES:
        save_figure(draw_pixels(steps[0], kind), target)
    else:
        radius = max(shown_radius(pixel) for step in steps for pixel in step)
        write_film((rasterize(draw_pixels(step, kind, radius)) for step in steps), target, info)


def _check_numbers(**numbers: tuple[int, int]) -> None:
    """Check that each number is at least its second value."""
    for argument, (value, least) in numbers.items():
        if value < least:
            raise InputError(f"{value}: expected at least {least}", argument=argument)


def _check_outputs(overwrite: bool, /, **paths: PathLike | None) -> None:
    """Check, before long work, that each file can be written; ``output`` need not be a figure."""
    for argument, path in paths.items():
        if path is None:
            continue
        check_folder_of(path, argument)
        if not overwrite and Path(path).exists():
            raise OutputExistsError(path)
        suffix = Path(path).suffix.lower()
        if argument == "output" and suffix == ".npz":
            continue
        require_drawing()  # which the pictures of a video are as well
        if argument == "output" and suffix not in PICTURES:
            check_film(path, argument)
        else:
            check_figure_path(path, argument)
