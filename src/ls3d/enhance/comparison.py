"""Comparison of networks on a few frames of a video, before time is spent on the whole of it."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ls3d.enhance._arrays import ByteArray
from ls3d.enhance._contact_sheet import Row, Tile, draw_animation, draw_sheet
from ls3d.enhance._setup import PathLike, open_source
from ls3d.enhance.frames import denoise_frames, interpolate_frames, upscale_frames
from ls3d.enhance.options import EnhanceOptions
from ls3d.errors import InputError, OutputExistsError
from ls3d.files import atomic_write, write_json
from ls3d.models import EnhancementNetwork, load_enhancement_model
from ls3d.video import VideoInfo, to_rgb

#: By task, the networks that are compared unless others are asked for: without weights, and bundled.
COMPARED: Mapping[str, tuple[str, ...]] = {
    "interpolation": ("blend", "bilateral", "vfi"),
    "super-resolution": ("bicubic", "vsr"),
    "denoising": ("aligned_mean", "vdn"),
}
_FACTOR = 2  # of the interpolation
_TILE = (320, 240)  # width and height
_STEP = 8  # pixels between the regions that are considered


@dataclass(frozen=True)
class Trial:
    """A network on a few frames of a video.

    Attributes:
        task: ``"interpolation"``, ``"super-resolution"`` or ``"denoising"``.
        model: the network's name, or its file.
        frame_seconds: time for each frame of the source, without decoding and encoding.
        whole_seconds: the same for all frames of the video; None if their number is unknown.
    """

    task: str
    model: str
    frame_seconds: float
    whole_seconds: float | None


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` has made.

    Attributes:
        trials: the networks, by task.
        sheet: a PNG file: for each task the source, and the same region of it by each network.
        clips: an animated WebP file for each task, which shows these regions side by side.
    """

    trials: tuple[Trial, ...]
    sheet: Path
    clips: tuple[Path, ...]


def compare(
    source: PathLike,
    output: PathLike,
    *,
    at: Fraction | float | None = None,
    models: Sequence[str] = (),
    frames: int = 12,
    seconds: float = 20.0,
    options: EnhanceOptions | None = None,
    started: Callable[[str, str], None] | None = None,
) -> Comparison:
    """Enhance a few frames of a video by several networks, and show the results beside each other.

    The region that is shown is the one in which the networks differ most.

    Args:
        source: a video, or a folder of images.
        output: the folder to create, for ``sheet.png``, a clip ``TASK.webp`` for each task, and ``comparison.json``.
        at: time of the first frame in seconds; by default the middle of the video.
        models: names or weights files of the networks; by default those of ``COMPARED``.
        frames: how many frames of the source are enhanced.
        seconds: a network that takes longer is stopped after the frame that it is working on.
        options: device, precision, tile, cut threshold and limits.
        started: is called with task and model before each trial.

    Raises:
        OutputExistsError: the folder exists and is not to be overwritten.
        InputError: the source can't be decoded, has no frame at that time, a network enhances no videos, or a number
            is too small.
    """
    options = options or EnhanceOptions()
    folder = Path(output)
    if folder.exists() and not options.overwrite:
        raise OutputExistsError(folder)
    if frames < 2:
        raise InputError(f"{frames}: expected at least 2", argument="frames")
    if not seconds >= 0:
        raise InputError(f"{seconds:g}: expected 0 or more", argument="seconds")
    networks = _load_networks(models)
    opened = open_source(source, options).source
    start = Fraction(at) if at is not None else (opened.info.duration or Fraction(0)) / 2
    pictures = [_upright(frame.picture, opened.info) for frame in itertools.islice(opened.frames(start=start), frames)]
    if not pictures:
        raise InputError(f"{float(start):g}: {opened.info.name} has no frame there", argument="at")
    trials = []
    rows: dict[Path, Row] = {}
    for task, candidates in networks.items():
        made: dict[str, list[ByteArray]] = {}
        for model, network in candidates.items():
            if started is not None:
                started(task, model)
            made[model], frame_seconds = _enhance(task, network, pictures, options, seconds)
            whole = None if opened.info.frames is None else frame_seconds * opened.info.frames
            trials.append(Trial(task, model, frame_seconds, whole))
        captions = {trial.model: _caption(trial) for trial in trials if trial.task == task}
        rows[folder / f"{task}.webp"] = _row(task, pictures, made, captions)
    folder.mkdir(parents=True, exist_ok=True)
    comparison = Comparison(tuple(trials), folder / "sheet.png", tuple(rows))
    with atomic_write(comparison.sheet) as temporary:
        draw_sheet(list(rows.values()), temporary)
    for path, row in rows.items():
        rate = opened.info.rate * (_FACTOR if row.title == "interpolation" else 1)
        with atomic_write(path) as temporary:
            draw_animation(row, float(rate), temporary)
    values = {"source": os.fspath(source), "start": float(start), "trials": [asdict(trial) for trial in trials]}
    write_json(folder / "comparison.json", values)
    return comparison


def _load_networks(models: Sequence[str]) -> dict[str, dict[str, EnhancementNetwork]]:
    """The networks by task and name, in the order of ``COMPARED``."""
    found: dict[str, dict[str, EnhancementNetwork]] = {task: {} for task in COMPARED}
    for model in models or itertools.chain.from_iterable(COMPARED.values()):
        network = load_enhancement_model(model)
        found[network.traits.task][model] = network
    return {task: networks for task, networks in found.items() if networks}


def _upright(picture: object, info: VideoInfo) -> ByteArray:
    """A picture as it is shown, ``(H, W, 3)`` uint8 R'G'B'."""
    rgb = to_rgb(picture, info.color).clamp(0, 1)  # type: ignore[arg-type]
    pixels = (rgb * 255).round().byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(np.rot90(pixels, info.rotation // 90))


def _enhance(
    task: str, network: EnhancementNetwork, pictures: Sequence[ByteArray], options: EnhanceOptions, seconds: float
) -> tuple[list[ByteArray], float]:
    """The output frames within the time, and the time for each frame of the source."""
    limits = {
        "device": options.device,
        "precision": options.precision,
        "tile": options.tile,
        "cut_threshold": options.cut_threshold,
    }
    outputs: Iterator[ByteArray]
    if task == "interpolation":
        outputs = interpolate_frames(pictures, model=network, factor=_FACTOR, **limits)  # type: ignore[arg-type]
    elif task == "super-resolution":
        outputs = upscale_frames(pictures, model=network, **limits)  # type: ignore[arg-type]
    else:
        outputs = denoise_frames(pictures, model=network, **limits)  # type: ignore[arg-type]
    per_frame = _FACTOR if task == "interpolation" else 1
    made: list[ByteArray] = []
    times = [time.perf_counter()]
    for output in outputs:
        made.append(output)
        if len(made) % per_frame == 0:
            times.append(time.perf_counter())
            if times[-1] - times[0] > seconds:
                break
    # The first frame takes longer: memory is allocated, and kernels are compiled.
    first = 1 if len(times) > 2 else 0
    return made, (times[-1] - times[first]) / (len(times) - 1 - first)


def _row(
    task: str, pictures: Sequence[ByteArray], made: Mapping[str, Sequence[ByteArray]], captions: Mapping[str, str]
) -> Row:
    """The tiles of a task; all show the same region."""
    count = min(len(outputs) for outputs in made.values())
    per_frame = _FACTOR if task == "interpolation" else 1
    shown = min(count - 1, count // 2 | 1) if task == "interpolation" else count // 2  # a new frame
    scale = next(iter(made.values()))[0].shape[0] // pictures[0].shape[0]
    height = min(_TILE[1] // scale, pictures[0].shape[0])
    width = min(_TILE[0] // scale, pictures[0].shape[1])
    top, left = most_different([outputs[shown] for outputs in made.values()], scale, height, width)

    def cut(picture: ByteArray, scale: int) -> ByteArray:
        return picture[top * scale : (top + height) * scale, left * scale : (left + width) * scale]

    def enlarged(picture: ByteArray) -> ByteArray:
        return cut(picture, 1).repeat(scale, axis=0).repeat(scale, axis=1)

    before = [enlarged(pictures[number // per_frame]) for number in range(count)]
    tiles = [Tile("source", f"{width}x{height} pixels of it", before)]
    tiles += [
        Tile(model, captions[model], [cut(picture, scale) for picture in outputs[:count]])
        for model, outputs in made.items()
    ]
    return Row(task, pictures[shown // per_frame], (left, top, width, height), tiles, shown)


def most_different(pictures: Sequence[ByteArray], scale: int, height: int, width: int) -> tuple[int, int]:
    """Top and left of the region, in pixels of the source, in which the pictures differ most; of one, its contrast."""
    gray = np.stack([picture.mean(axis=2)[::scale, ::scale] for picture in pictures])
    spread = gray.std(axis=0) if len(pictures) > 1 else np.hypot(*np.gradient(gray[0]))
    total = np.pad(spread.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    last = (spread.shape[0] - height, spread.shape[1] - width)
    tops = np.arange(0, max(last[0], 0) + 1, _STEP)[:, None]
    lefts = np.arange(0, max(last[1], 0) + 1, _STEP)[None, :]
    inside = (
        total[tops + height, lefts + width]
        - total[tops, lefts + width]
        - total[tops + height, lefts]
        + total[tops, lefts]
    )
    row, column = np.unravel_index(inside.argmax(), inside.shape)
    return int(tops[row, 0]), int(lefts[0, column])


def _caption(trial: Trial) -> str:
    return f"{format_seconds(trial.frame_seconds)} a frame, the whole {format_seconds(trial.whole_seconds)}"


def format_seconds(seconds: float | None) -> str:
    """A time in the unit that suits it: ``35 ms``, ``2.1 s``, ``12 min``, ``3.4 h``."""
    if seconds is None:
        return "unknown"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
