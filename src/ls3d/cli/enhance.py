"""``ls3d interpolate``, ``ls3d upscale``, ``ls3d denoise``: videos made smoother, larger, cleaner."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from ls3d.enhance import Options, Progress, Report

_JSON_PAUSE = 0.2  # seconds


class ProgressStyle(StrEnum):
    """How progress is shown."""

    bar = "bar"
    json = "json"
    none = "none"


class OnError(StrEnum):
    """What to do where the source can't be decoded."""

    skip = "skip"
    repeat = "repeat"
    stop = "stop"


class Precision(StrEnum):
    """Floating-point type of the network."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


Source = Annotated[str, typer.Argument(metavar="IN", help="A video, a folder of images, or - for y4m on stdin.")]
Target = Annotated[str, typer.Argument(metavar="OUT", help="A video, a folder for PNG images, or - for y4m on stdout.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
PrecisionOption = Annotated[Precision, typer.Option(help="Of the network; the halves are for GPUs.")]
Tile = Annotated[int | None, typer.Option(help="Largest side of a tile, in pixels; whole frames by default.")]
MaxMemory = Annotated[str | None, typer.Option(help="Main memory to keep to, such as 4G; chooses the tile.")]
Start = Annotated[float, typer.Option(help="Seconds of the source to pass over.")]
Duration = Annotated[float | None, typer.Option(help="Seconds of the source to work on.")]
Preview = Annotated[float | None, typer.Option(help="Only the first seconds: --preview 5.")]
Codec = Annotated[str | None, typer.Option(help="h264, hevc, av1, vp9, prores or ffv1; by default the source's.")]
Crf = Annotated[int | None, typer.Option(help="Quality of the codec; smaller is better and larger.")]
Resume = Annotated[bool, typer.Option("--resume/--restart", help="Go on with an unfinished job, or begin anew.")]
ProgressOption = Annotated[ProgressStyle, typer.Option(help="A bar, JSON lines on stderr for programs, or none.")]
CutThreshold = Annotated[float, typer.Option(help="Least change of a hard cut, in percent; 0 sees no cuts.")]
OnErrorOption = Annotated[OnError, typer.Option(help="Where the source can't be decoded.")]
ImageRate = Annotated[str, typer.Option(help="Frames per second of a folder of images.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (interpolate, upscale, denoise):
        app.command()(command)


def interpolate(
    source: Source,
    target: Target,
    factor: Annotated[int | None, typer.Option(help="How many times more frames: 2, 4 or 8 (2 if not given).")] = None,
    fps: Annotated[str | None, typer.Option(help="An exact rate instead, such as 60 or 60000/1001.")] = None,
    slow_motion: Annotated[
        bool,
        typer.Option("--slow-motion", help="Show the new frames at the old rate, longer and without audio."),
    ] = False,
    model: Annotated[str, typer.Option(help="A network's name or its .safetensors file.")] = "vfi",
    device: Device = "auto",
    precision: PrecisionOption = Precision.float32,
    tile: Tile = None,
    max_memory: MaxMemory = None,
    start: Start = 0.0,
    duration: Duration = None,
    preview: Preview = None,
    codec: Codec = None,
    crf: Crf = None,
    resume: Resume = True,
    progress: ProgressOption = ProgressStyle.bar,
    cut_threshold: CutThreshold = 4.0,
    on_error: OnErrorOption = OnError.skip,
    image_rate: ImageRate = "25",
) -> None:
    """Make a video smoother; audio, subtitles and everything else are kept.

    Example: ls3d interpolate film.mkv smooth.mkv --factor 4
    """
    from ls3d import enhance

    options = _options(locals())
    rate = None if fps is None else _fraction(fps, "--fps")
    with _shown(progress) as show:
        report = enhance.interpolate(
            source,
            target,
            factor=factor,
            fps=rate,
            slow_motion=slow_motion,
            model=model,
            options=options,
            progress=show,
        )
    _tell(report, progress)


def upscale(
    source: Source,
    target: Target,
    scale: Annotated[int | None, typer.Option(help="How many times larger; the network's own if not given.")] = None,
    model: Annotated[str, typer.Option(help="A network's name (bicubic needs no weights) or its file.")] = "vsr",
    device: Device = "auto",
    precision: PrecisionOption = Precision.float32,
    tile: Tile = None,
    max_memory: MaxMemory = None,
    start: Start = 0.0,
    duration: Duration = None,
    preview: Preview = None,
    codec: Codec = None,
    crf: Crf = None,
    resume: Resume = True,
    progress: ProgressOption = ProgressStyle.bar,
    cut_threshold: CutThreshold = 4.0,
    on_error: OnErrorOption = OnError.skip,
    image_rate: ImageRate = "25",
) -> None:
    """Make a video larger; audio, subtitles and everything else are kept.

    Example: ls3d upscale small.mp4 large.mp4 --scale 4 --model bicubic
    """
    from ls3d import enhance

    options = _options(locals())
    with _shown(progress) as show:
        report = enhance.upscale(source, target, scale=scale, model=model, options=options, progress=show)
    _tell(report, progress)


def denoise(
    source: Source,
    target: Target,
    sigma: Annotated[
        str | None, typer.Option(help="Noise from 0 to 255, or auto; for networks that want to know it.")
    ] = None,
    model: Annotated[str, typer.Option(help="A network's name or its .safetensors file.")] = "vdn",
    device: Device = "auto",
    precision: PrecisionOption = Precision.float32,
    tile: Tile = None,
    max_memory: MaxMemory = None,
    start: Start = 0.0,
    duration: Duration = None,
    preview: Preview = None,
    codec: Codec = None,
    crf: Crf = None,
    resume: Resume = True,
    progress: ProgressOption = ProgressStyle.bar,
    cut_threshold: CutThreshold = 4.0,
    on_error: OnErrorOption = OnError.skip,
    image_rate: ImageRate = "25",
) -> None:
    """Make a video cleaner; audio, subtitles and everything else are kept.

    Example: ls3d denoise noisy.mp4 clean.mp4 --sigma 25
    """
    from ls3d import enhance

    options = _options(locals())
    with _shown(progress) as show:
        report = enhance.denoise(source, target, sigma=sigma, model=model, options=options, progress=show)
    _tell(report, progress)


def _options(values: dict[str, Any]) -> Options:
    """The arguments that the commands share, as the library takes them."""
    from ls3d.enhance import Options
    from ls3d.errors import InputError

    if values["preview"] is not None and values["duration"] is not None:
        raise InputError("--preview and --duration both say how long; expected one of them")
    return Options(
        device=values["device"],
        precision=values["precision"].value,
        tile=values["tile"],
        max_memory=_bytes(values["max_memory"]),
        start=values["start"],
        duration=values["preview"] if values["duration"] is None else values["duration"],
        codec=values["codec"],
        crf=values["crf"],
        resume=values["resume"],
        cut_threshold=values["cut_threshold"],
        on_error=values["on_error"].value,
        image_rate=_fraction(values["image_rate"], "--image-rate"),
    )


def _fraction(text: str, name: str) -> Any:
    from fractions import Fraction

    from ls3d.errors import InputError

    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"{name} {text}: expected a number such as 60, 23.976 or 60000/1001") from error


def _bytes(text: str | None) -> int | None:
    from ls3d.errors import InputError

    if text is None:
        return None
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in units else (text, "")
    try:
        return int(float(number) * (1 << units.get(unit, 0)))
    except ValueError as error:
        raise InputError(f"--max-memory {text}: expected bytes, or a number with K, M, G or T") from error


@contextmanager
def _shown(style: ProgressStyle) -> Iterator[Callable[[Progress], None] | None]:
    """A function that shows progress on standard error, and warnings of the library beside it."""
    console = Console(stderr=True)
    handler = _Warnings(console)
    logging.getLogger("ls3d").addHandler(handler)
    try:
        if style is ProgressStyle.bar:
            with _bar(console) as show:
                yield show
        else:
            yield _JsonLines() if style is ProgressStyle.json else None
    finally:
        logging.getLogger("ls3d").removeHandler(handler)


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames, {task.fields[fps]} fps, {task.fields[eta]}"),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=console)
    task = bar.add_task("reading", total=None, fps="-", eta="time to go unknown")

    def show(state: Any) -> None:
        bar.start()  # only now, so that a mistake found at once is shown alone
        bar.update(
            task,
            description="joining" if state.phase == "joining" else "enhancing",
            completed=state.done,
            total=max(state.total, state.done) if state.total else None,
            fps=f"{state.fps:.1f}",
            eta=_remaining(state.remaining),
        )

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


def _remaining(seconds: float | None) -> str:
    if seconds is None:
        return "time to go unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} to go"


class _JsonLines:
    """Writes progress to standard error as JSON, a few lines a second, and the end of every phase."""

    def __init__(self) -> None:
        self._latest = float("-inf")

    def __call__(self, state: Progress) -> None:
        now = time.monotonic()
        if now - self._latest >= _JSON_PAUSE or state.done == state.total:
            self._latest = now
            typer.echo(json.dumps(asdict(state)), err=True)


class _Warnings(logging.Handler):
    """Shows the library's warnings, one line each."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(f"[yellow]note:[/] {record.getMessage()}", highlight=False, soft_wrap=True)


def _tell(report: Report, style: ProgressStyle) -> None:
    """What became of it, on standard error."""
    if style is ProgressStyle.json:
        typer.echo(json.dumps({"report": asdict(report)}), err=True)
        return
    if style is ProgressStyle.none:
        return
    console = Console(stderr=True)
    for sentence in report.notes:
        console.print(f"[yellow]note:[/] {sentence}", highlight=False, soft_wrap=True)
    if report.lost:
        console.print(f"[yellow]note:[/] {report.lost} packets could not be decoded", highlight=False)
    if report.retimed:
        console.print(f"[yellow]note:[/] {report.retimed} frames had no usable time of their own", highlight=False)
    resumed = f", {report.resumed} of them from before" if report.resumed else ""
    console.print(
        f"{report.target}: {report.frames_in} frames became {report.frames_out} in {report.seconds:.1f} s; "
        f"{report.cuts} cuts, {report.segments} segments{resumed}",
        highlight=False,
        soft_wrap=True,
    )
