"""The three jobs: ``interpolate``, ``upscale``, ``denoise``. Each is one call, and the twin of a command."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ls3d.enhance._stages import Interpolation, Pictures, Restoration, Stage, check_sigma
from ls3d.enhance._timeline import Constant, Multiply, Timeline
from ls3d.enhance.engine import Job, Progress, Report, run, run_to_pipe
from ls3d.errors import InputError
from ls3d.inference import Enhancer, Precision
from ls3d.models import load_enhancement_model
from ls3d.models.network import EnhancementNetwork
from ls3d.video import (
    ImageSequence,
    OnError,
    Source,
    TimeRange,
    VideoFile,
    VideoPipe,
    choose_settings,
    container_of,
)
from ls3d.video.cuts import DEFAULT_THRESHOLD

log = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]
Model = PathLike | EnhancementNetwork


@dataclass(frozen=True)
class Options:
    """What the three jobs have in common.

    Attributes:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        precision: of the network.
        tile: largest side of a tile in source pixels; None works on whole frames.
        max_memory: bytes of main memory to keep to on a CPU, by choosing the tile.
        start: seconds of the source to pass over.
        duration: seconds of the source to work on; None goes to its end.
        codec: h264, hevc, av1, vp9, prores or ffv1; None follows the source.
        crf: quality of the codec, smaller is better; None takes a visually transparent one.
        resume: go on with an unfinished job of the same settings.
        cut_threshold: least change of a hard cut in percent; 0 sees no cuts.
        on_error: what to do where the source can't be decoded.
        image_rate: frames per second of a folder of images.
        threads: of the encoder; 0 lets it choose.
        segment_frames: most source frames of a segment.
    """

    device: str = "auto"
    precision: Precision = "float32"
    tile: int | None = None
    max_memory: int | None = None
    start: Fraction | float = 0
    duration: Fraction | float | None = None
    codec: str | None = None
    crf: int | None = None
    resume: bool = True
    cut_threshold: float = DEFAULT_THRESHOLD
    on_error: OnError = "skip"
    image_rate: Fraction | float = 25
    threads: int = 0
    segment_frames: int = 128

    def __post_init__(self) -> None:
        checks: list[tuple[str, Any, bool, str]] = [
            ("start", self.start, self.start >= 0, "seconds, 0 or more"),
            ("duration", self.duration, self.duration is None or self.duration > 0, "seconds, more than 0"),
            ("tile", self.tile, self.tile is None or self.tile >= 64, "at least 64 pixels"),
            (
                "max_memory",
                self.max_memory,
                self.max_memory is None or self.max_memory > 0,
                "more than 0 bytes",
            ),
            ("crf", self.crf, self.crf is None or 0 <= self.crf <= 63, "a number from 0 to 63"),
            ("cut_threshold", self.cut_threshold, 0 <= self.cut_threshold <= 100, "a percentage"),
            ("image_rate", self.image_rate, self.image_rate > 0, "more than 0 frames per second"),
            ("segment_frames", self.segment_frames, self.segment_frames > 0, "at least 1"),
            (
                "precision",
                self.precision,
                self.precision in ("float32", "bfloat16", "float16"),
                "a float type",
            ),
            ("on_error", self.on_error, self.on_error in ("skip", "repeat", "stop"), "skip, repeat or stop"),
        ]
        for name, value, good, expected in checks:
            if not good:
                raise InputError(f"{name.replace('_', '-')} {value}: expected {expected}")


ProgressCallback = Callable[[Progress], None]


def interpolate(
    source: PathLike,
    target: PathLike,
    *,
    factor: int | None = None,
    fps: Fraction | float | None = None,
    slow_motion: bool = False,
    model: Model = "vfi",
    options: Options | None = None,
    progress: ProgressCallback | None = None,
) -> Report:
    """Make a video smoother: new frames between its own, which stay as they are.

    n frames become n * factor frames of the same duration; the last frame is shown on for its own. Nothing is
    interpolated across a hard cut. Audio and all other streams are copied.

    Args:
        source: a video file, a folder of images, or ``"-"`` for standard input (y4m).
        target: a video file, a folder for PNG images (a name without suffix), or ``"-"`` for y4m on standard
            output.
        factor: 2, 4 or 8; 2 unless ``fps`` is given.
        fps: exact frames per second instead; new frames lie on a grid of 16 between two source frames.
        slow_motion: show the new frames at the source's rate, ``factor`` times longer, without audio.
        model: an interpolation network: its name, its weights file, or itself.
        options: see ``Options``.
        progress: called after every source frame.

    Raises:
        InputError: the source is no video, or an argument isn't what was expected.
        OSError: a file can't be read or written.
    """
    options = options or Options()
    if fps is not None and (factor is not None or slow_motion):
        raise InputError("--fps fixes the rate, so it can't go with --factor or --slow-motion")
    if factor not in (None, 2, 4, 8):
        raise InputError(f"--factor {factor}: expected 2, 4 or 8")
    if fps is not None and not 0 < fps <= 1000:
        raise InputError(f"--fps {fps}: expected frames per second, more than 0 and at most 1000")
    opened, span = _open(source, options)
    times = factor or 2
    timeline: Timeline = Multiply(times)
    if fps is not None:
        timeline = Constant(_exact_rate(fps), span.start)
    if slow_motion:
        span = TimeRange(span.start, span.end, Fraction(times))
    enhancer, name = _enhancer(model, "interpolation", options)
    _fit_memory(enhancer, options)
    stage = Interpolation(enhancer, Pictures(opened.info.color, enhancer.device), timeline)
    return _perform(opened, source, target, stage, span, options, progress, {"model": name})


def upscale(
    source: PathLike,
    target: PathLike,
    *,
    scale: int | None = None,
    model: Model = "vsr",
    options: Options | None = None,
    progress: ProgressCallback | None = None,
) -> Report:
    """Make a video larger.

    Args:
        source: as for ``interpolate``.
        target: as for ``interpolate``.
        scale: how many times larger; must be the network's own, which is the default.
        model: a super-resolution network: its name, its weights file, or itself.
        options: see ``Options``.
        progress: called after every source frame.

    Raises:
        InputError: the source is no video, or an argument isn't what was expected.
        OSError: a file can't be read or written.
    """
    options = options or Options()
    opened, span = _open(source, options)
    enhancer, name = _enhancer(model, "super-resolution", options)
    own = enhancer.traits.scale
    if scale not in (None, own):
        raise InputError(f"--scale {scale}: the model {name['name']} enlarges {own} times")
    stage = _restoration(opened, enhancer, options, None)
    return _perform(opened, source, target, stage, span, options, progress, {"model": name})


def denoise(
    source: PathLike,
    target: PathLike,
    *,
    sigma: float | str | None = None,
    model: Model = "vdn",
    options: Options | None = None,
    progress: ProgressCallback | None = None,
) -> Report:
    """Make a video cleaner.

    Args:
        source: as for ``interpolate``.
        target: as for ``interpolate``.
        sigma: standard deviation of the noise in [0, 255], or ``"auto"`` to measure it frame by frame; only
            for networks that want to know it, whose default is ``"auto"``.
        model: a denoising network: its name, its weights file, or itself.
        options: see ``Options``.
        progress: called after every source frame.

    Raises:
        InputError: the source is no video, or an argument isn't what was expected.
        OSError: a file can't be read or written.
    """
    options = options or Options()
    opened, span = _open(source, options)
    enhancer, name = _enhancer(model, "denoising", options)
    level = check_sigma(enhancer.network, sigma, name["name"])
    stage = _restoration(opened, enhancer, options, level)
    return _perform(opened, source, target, stage, span, options, progress, {"model": name, "sigma": level})


def _restoration(opened: Source, enhancer: Enhancer, options: Options, sigma: float | str | None) -> Restoration:
    stage = Restoration(enhancer, Pictures(opened.info.color, enhancer.device), Multiply(1), sigma)
    _fit_memory(enhancer, options)
    return stage


def _open(path: PathLike, options: Options) -> tuple[Source, TimeRange]:
    opened: Source
    if str(path) == "-":
        opened = VideoPipe(sys.stdin.buffer, options.on_error)
    elif Path(path).is_dir():
        opened = ImageSequence(path, _exact_rate(options.image_rate), options.on_error)
    else:
        opened = VideoFile(path, options.on_error)
    start = Fraction(options.start).limit_denominator(1_000_000)
    length = opened.info.duration
    if length is not None and start >= length and start > 0:
        raise InputError(f"--start {float(start):g}: {path} ends at {float(length):.3f} s")
    end = None
    if options.duration is not None:
        end = start + Fraction(options.duration).limit_denominator(1_000_000)
    if opened.info.interlaced:
        log.warning("%s is interlaced; its frames are worked on as if they were whole", path)
    if opened.info.alpha:
        log.warning("%s has a transparency channel, which is left out", path)
    return opened, TimeRange(start, end)


def _exact_rate(rate: Fraction | float) -> Fraction:
    """A rate as a fraction; 23.976, 29.97, 59.94 and 119.88 mean the NTSC ones."""
    exact = Fraction(rate).limit_denominator(100_000)
    ntsc = Fraction(round(exact * 1001 / 1000) * 1000, 1001)
    return ntsc if abs(exact - ntsc) < Fraction(1, 200) and exact.denominator != 1 else exact


def _enhancer(model: Model, task: str, options: Options) -> tuple[Enhancer, dict[str, str]]:
    """The network on its device, and what tells its results from those of another."""
    if isinstance(model, EnhancementNetwork):
        network, name = model, type(model).__name__
    else:
        network, name = load_enhancement_model(model, task), str(model)
    enhancer = Enhancer(network, options.device, options.precision, options.tile)
    return enhancer, {"name": name, "digest": _digest(network)}


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256(type(network).__name__.encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _fit_memory(enhancer: Enhancer, options: Options) -> None:
    if options.max_memory is not None:
        side = enhancer.fit_memory(options.max_memory)
        log.info("tiles of at most %d pixels keep to the memory allowed", side)


def _perform(
    opened: Source,
    source: PathLike,
    target: PathLike,
    stage: Stage,
    span: TimeRange,
    options: Options,
    progress: ProgressCallback | None,
    signature: dict[str, Any],
) -> Report:
    """Open the output, and run."""
    to_pipe = str(target) == "-"
    path = Path(target)
    container = "y4m" if to_pipe else _output_kind(path)
    is_file = str(source) != "-" and Path(source).is_file()
    _check_target(path, source, to_pipe)
    info = opened.info
    rate = stage.timeline.rate(info.rate) / span.stretch
    settings = choose_settings(
        info,
        container,
        size=(info.height * stage.scale, info.width * stage.scale),
        time_base=_clock(stage, span, container, info.time_base, rate),
        rate=rate,
        codec=options.codec,
        crf=options.crf,
        threads=options.threads,
    )
    job = Job(
        source=opened,
        path=Path(source) if is_file else None,
        stage=stage,
        settings=settings,
        container=container,
        span=span,
        threshold=options.cut_threshold,
        longest=options.segment_frames,
        shortest=min(32, options.segment_frames),
        signature={**signature, **_settings(options)},
    )
    if to_pipe:
        return run_to_pipe(job, sys.stdout.buffer, progress)
    return run(job, path, options.resume, progress)


def _settings(options: Options) -> dict[str, Any]:
    """The options that change samples."""
    names = ("precision", "tile", "max_memory", "on_error")
    return {name: getattr(options, name) for name in names}


def _output_kind(path: Path) -> str:
    return "images" if not path.suffix or path.is_dir() else container_of(path)


def _clock(stage: Stage, span: TimeRange, container: str, source: Fraction, rate: Fraction) -> Fraction:
    """Ticks of the output; formats without times of their own count frames."""
    if container in ("avi", "y4m", "images"):
        return 1 / rate
    return stage.timeline.time_base(source)


def _check_target(path: Path, source: PathLike, to_pipe: bool) -> None:
    if to_pipe:
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}")
    if path.is_dir() and any(path.iterdir()):
        raise InputError(f"{path} is a folder with files in it; expected a new or an empty one")
    if str(source) != "-" and path.exists() and path.samefile(source):
        raise InputError(f"{path} is the source itself; expected another name for the output")
