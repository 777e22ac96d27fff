"""``ls3d interpolate``, ``ls3d upscale``, ``ls3d denoise``, and ``ls3d enhance`` for several of these steps."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, BinaryIO, Literal, TextIO

import typer

from ls3d.cli._enhance_options import with_enhance_options
from ls3d.cli._typed import is_typed
from ls3d.enhance.calls import EnhanceCall, without_none
from ls3d.enhance.options import (
    DEFAULT_DENOISING,
    DEFAULT_SUPER_RESOLUTION,
    QUALITIES,
    EnhanceOptions,
    Quality,
)
from ls3d.enhance.presets import PRESETS, with_preset
from ls3d.enhance.texts import read_fraction, read_size
from ls3d.errors import InputError

log = logging.getLogger(__name__)

_STANDARD_STREAM = "-"

Source = Annotated[
    str,
    typer.Argument(
        metavar="IN", help="A video, a folder of images, a folder of videos, a quoted pattern, or - for y4m on stdin."
    ),
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="OUT", help="A video, a folder for PNG images or for several videos, or - for y4m on stdout."
    ),
]


#: Options of ``ls3d enhance`` whose names differ from those of the library's arguments.
_FLAGS = {"sigma": "--denoise", "scale": "--upscale"}


def shown_options(arguments: Mapping[str, Any]) -> str:
    """Arguments of ``ls3d.enhance.enhance`` as options of the command."""
    words = []
    for name, value in arguments.items():
        if value is None or value is False:
            continue
        words.append(_FLAGS.get(name, f"--{name.replace('_', '-')}"))
        if value is not True:
            words.append("x".join(map(str, value)) if isinstance(value, tuple) else str(value))
    return " ".join(words)


_PRESET_HELP = "A set of options, over which given options take precedence. " + "; ".join(
    f"{name}: {shown_options(arguments)}" for name, arguments in PRESETS.items()
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (interpolate, upscale, denoise, enhance):
        app.command()(with_enhance_options(command))


def interpolate(
    source: Source,
    target: Target,
    factor: Annotated[
        str | None,
        typer.Option(metavar="FACTOR", help="How many times more frames: 2, 3, 2.5, 5/2, ... By default, 2."),
    ] = None,
    fps: Annotated[
        str | None, typer.Option(metavar="FPS", help="Frames per second instead of a factor, such as 60 or 60000/1001.")
    ] = None,
    slow_motion: Annotated[
        bool, typer.Option("--slow-motion", help="Keep the frame rate: the video gets longer, and loses its audio.")
    ] = False,
    quality: Annotated[
        Quality | None,
        typer.Option(
            help="fast is the network bilateral; best is vfi; sharp is vfi_ls3d_plus_sharp, whose frames are sharper, "
            "and on average further from the true ones. By default, fast."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Instead of --quality: a network's name, or its weights file (.safetensors)."),
    ] = None,
    *,
    options: EnhanceOptions,
) -> EnhanceCall:
    """Raise the frame rate of a video. Audio, subtitles and all other streams are kept.

    Example: ls3d interpolate film.mkv smooth.mkv --factor 2.5

    Example: ls3d interpolate cartoon.mkv smooth.mkv --dedup auto

    Example: ls3d interpolate folder_of_videos smooth --fps 60
    """
    if quality is not None and model is not None:
        raise InputError(f"{quality}: expected either a quality or a model", argument="quality")
    arguments = without_none(
        factor=read_fraction(factor, "factor"),
        fps=read_fraction(fps, "fps"),
        slow_motion=slow_motion,
        model=model or QUALITIES[quality or "fast"],
    )
    return EnhanceCall("interpolate", _input(source), _output(target), arguments, options)


def upscale(
    source: Source,
    target: Target,
    scale: Annotated[
        str | None,
        typer.Option(metavar="SCALE", help="How many times larger: 2, 1.5, 3/2, ... By default, the network's scale."),
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Width of the output in pixels, instead of --scale; the shape is kept.")
    ] = None,
    height: Annotated[
        int | None, typer.Option(help="Height of the output in pixels, instead of --scale; the shape is kept.")
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT", help="The largest size that fits, instead of --scale: 1920x1080, 3840x2160, ..."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="A network's name (bicubic needs no weights), or its weights file (.safetensors).")
    ] = DEFAULT_SUPER_RESOLUTION,
    *,
    options: EnhanceOptions,
) -> EnhanceCall:
    """Enlarge a video. Audio, subtitles and all other streams are kept.

    Example: ls3d upscale small.mp4 large.mp4 --fit 1920x1080

    Example: ls3d upscale film.mkv large.mkv --codec h264 --encoder-options preset=slow,tune=film

    Example: ls3d upscale film.mkv large.mkv --codec hevc_nvenc --hwaccel auto

    Example: ls3d upscale folder_of_videos large --scale 2
    """
    arguments = without_none(
        scale=read_fraction(scale, "scale"), width=width, height=height, fit=read_size(fit, "fit"), model=model
    )
    return EnhanceCall("upscale", _input(source), _output(target), arguments, options)


def denoise(
    source: Source,
    target: Target,
    sigma: Annotated[
        str | None,
        typer.Option(metavar="0-255|auto", help="Noise level; by default measured. Only for networks that take one."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="A network's name, or its weights file (.safetensors).")
    ] = DEFAULT_DENOISING,
    *,
    options: EnhanceOptions,
) -> EnhanceCall:
    """Remove noise from a video. Audio, subtitles and all other streams are kept.

    Example: ls3d denoise noisy.mp4 clean.mp4 --sigma 25

    Example: ls3d denoise tape.ts clean.mp4 --deinterlace frame

    Example: ls3d denoise 'holiday/*.mp4' clean
    """
    return EnhanceCall("denoise", _input(source), _output(target), without_none(sigma=sigma, model=model), options)


def enhance(
    context: typer.Context,
    source: Source,
    target: Target,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help=f"{_PRESET_HELP}.")] = None,
    sigma: Annotated[
        str | None,
        typer.Option(
            "--denoise",
            "--sigma",
            metavar="0-255|auto",
            help="Remove noise of this level. auto measures it, and denoises only if there is any; 0: not at all.",
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option("--upscale", "--scale", metavar="SCALE", help="Enlarge this many times: 2, 1.5, 3/2, ..."),
    ] = None,
    width: Annotated[int | None, typer.Option(help="Width of the output in pixels, instead of --upscale.")] = None,
    height: Annotated[int | None, typer.Option(help="Height of the output in pixels, instead of --upscale.")] = None,
    fit: Annotated[
        str | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="The largest size that fits, instead of --upscale: 1920x1080, ..."),
    ] = None,
    factor: Annotated[
        str | None, typer.Option(metavar="FACTOR", help="How many times more frames: 2, 3, 2.5, 5/2, ...")
    ] = None,
    fps: Annotated[
        str | None, typer.Option(metavar="FPS", help="Frames per second instead of a factor, such as 60 or 60000/1001.")
    ] = None,
    slow_motion: Annotated[
        bool, typer.Option("--slow-motion", help="Keep the frame rate: the video gets longer, and loses its audio.")
    ] = False,
    quality: Annotated[
        Quality | None, typer.Option(help="Of new frames; see ls3d interpolate. By default, fast.")
    ] = None,
    denoising_model: Annotated[str | None, typer.Option(help="See --model of ls3d denoise.")] = None,
    super_resolution_model: Annotated[str | None, typer.Option(help="See --model of ls3d upscale.")] = None,
    interpolation_model: Annotated[str | None, typer.Option(help="See --model of ls3d interpolate.")] = None,
    *,
    options: EnhanceOptions,
) -> EnhanceCall:
    """Denoise, enlarge and interpolate a video in one pass, in this order. Steps that aren't asked for are left out.

    Example: ls3d enhance old.mp4 new.mp4 --denoise auto --upscale 2 --fps 60

    Example: ls3d enhance folder_of_videos better --preset phone
    """
    if quality is not None and interpolation_model is not None:
        raise InputError(f"{quality}: expected either a quality or a model", argument="quality")
    arguments: dict[str, Any] = {
        "sigma": sigma,
        "scale": read_fraction(scale, "scale"),
        "width": width,
        "height": height,
        "fit": read_size(fit, "fit"),
        "factor": read_fraction(factor, "factor"),
        "fps": read_fraction(fps, "fps"),
        "slow_motion": slow_motion,
        "denoising_model": denoising_model,
        "super_resolution_model": super_resolution_model,
        "interpolation_model": interpolation_model if quality is None else QUALITIES[quality],
    }
    if preset is not None:
        names = [option.name for option in fields(EnhanceOptions)]
        typed = [name for name in names if is_typed(context, name)]
        arguments = with_preset(preset, arguments, options, typed)
        options = arguments.pop("options")
        others = {name: getattr(options, name) for name in names if name in PRESETS[preset]}
        log.info("preset %s: %s", preset, shown_options({**arguments, **others}))
    return EnhanceCall("enhance", _input(source), _output(target), without_none(**arguments), options)


def _input(path: str) -> str | BinaryIO:
    return path if path != _STANDARD_STREAM else standard_stream(sys.stdin, "input", "rb")


def _output(path: str) -> str | BinaryIO:
    return path if path != _STANDARD_STREAM else standard_stream(sys.stdout, "output", "wb")


def standard_stream(stream: TextIO | None, name: str, mode: Literal["rb", "wb"]) -> BinaryIO:
    """Standard input or output without a buffer, whose lock a thread that waits for the pipe would hold at the end.

    Raises:
        InputError: it is closed, or a terminal.
    """
    if stream is None:
        raise InputError(f"standard {name} is closed; expected a pipe or a file")
    if stream.isatty():
        raise InputError(f"standard {name} is a terminal; expected a pipe or a file")
    return io.FileIO(stream.fileno(), mode, closefd=False)
