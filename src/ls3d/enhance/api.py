"""``interpolate``, ``upscale`` and ``denoise``: one call for a video. Each has a command of the same name."""

from __future__ import annotations

from fractions import Fraction
from typing import BinaryIO

from ls3d.enhance._setup import PathLike
from ls3d.enhance.jobs import prepare_denoising, prepare_interpolation, prepare_upscaling
from ls3d.enhance.options import (
    DEFAULT_DENOISING,
    DEFAULT_INTERPOLATION,
    DEFAULT_SUPER_RESOLUTION,
    EnhanceOptions,
)
from ls3d.enhance.report import EnhanceReport
from ls3d.models import EnhancementNetwork
from ls3d.progress import ProgressCallback


def interpolate(
    source: PathLike | BinaryIO,
    target: PathLike | BinaryIO,
    *,
    factor: int | None = None,
    fps: Fraction | float | None = None,
    slow_motion: bool = False,
    model: PathLike | EnhancementNetwork = DEFAULT_INTERPOLATION,
    options: EnhanceOptions | None = None,
    progress: ProgressCallback | None = None,
) -> EnhanceReport:
    """Raise a video's frame rate: new frames are added between its own, which stay as they are.

    n frames become n * factor frames of the same duration; the last frame is held for its own duration. Nothing is
    interpolated across a hard cut. Audio and all other streams are copied.

    Args:
        source: a video file, a folder of images, or a binary file from which a video (y4m) is read.
        target: a video file, a folder for PNG images (a name without suffix), or a binary file to which y4m is written.
        factor: 2, 4 or 8; 2 unless ``fps`` is given.
        fps: frames per second, instead of a factor. Networks that make frames at quarters of the interval between two
            source frames are run repeatedly, and times are rounded to sixteenths of it.
        slow_motion: keep the source's frame rate, so that the output is ``factor`` times longer, without audio.
        model: an interpolation network: its name, its weights file, or the network itself.
        options: see ``EnhanceOptions``.
        progress: is called after every source frame.

    Raises:
        InputError: the source can't be decoded, or an argument is not what is expected.
        OSError: a file can't be read or written.
    """
    options = options or EnhanceOptions()
    job = prepare_interpolation(
        source, target, factor=factor, fps=fps, slow_motion=slow_motion, model=model, options=options
    )
    return job.run(options.resume, progress)


def upscale(
    source: PathLike | BinaryIO,
    target: PathLike | BinaryIO,
    *,
    scale: int | None = None,
    model: PathLike | EnhancementNetwork = DEFAULT_SUPER_RESOLUTION,
    options: EnhanceOptions | None = None,
    progress: ProgressCallback | None = None,
) -> EnhanceReport:
    """Enlarge a video.

    Args:
        source: see ``interpolate``.
        target: see ``interpolate``.
        scale: how many times larger; must be the network's scale, which is the default.
        model: a super-resolution network: its name, its weights file, or the network itself.
        options: see ``EnhanceOptions``.
        progress: is called after every source frame.

    Raises:
        InputError: the source can't be decoded, or an argument is not what is expected.
        OSError: a file can't be read or written.
    """
    options = options or EnhanceOptions()
    job = prepare_upscaling(source, target, scale=scale, model=model, options=options)
    return job.run(options.resume, progress)


def denoise(
    source: PathLike | BinaryIO,
    target: PathLike | BinaryIO,
    *,
    sigma: float | str | None = None,
    model: PathLike | EnhancementNetwork = DEFAULT_DENOISING,
    options: EnhanceOptions | None = None,
    progress: ProgressCallback | None = None,
) -> EnhanceReport:
    """Remove noise from a video.

    Args:
        source: see ``interpolate``.
        target: see ``interpolate``.
        sigma: standard deviation of the noise in [0, 255], or ``"auto"`` to measure it in every frame; only for
            networks that take it, where ``"auto"`` is the default.
        model: a denoising network: its name, its weights file, or the network itself.
        options: see ``EnhanceOptions``.
        progress: is called after every source frame.

    Raises:
        InputError: the source can't be decoded, or an argument is not what is expected.
        OSError: a file can't be read or written.
    """
    options = options or EnhanceOptions()
    job = prepare_denoising(source, target, sigma=sigma, model=model, options=options)
    return job.run(options.resume, progress)
