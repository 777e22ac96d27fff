"""``interpolate``, ``upscale``, ``denoise`` and ``enhance``: one call for a video. Each has a command of the same name.

What is wrong with the arguments themselves is found before PyAV and torch are imported, which takes seconds.
"""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

from ls3d.enhance.calls import EnhanceCall, without_none
from ls3d.enhance.options import (
    DEFAULT_DENOISING,
    DEFAULT_INTERPOLATION,
    DEFAULT_SUPER_RESOLUTION,
    EnhanceOptions,
)
from ls3d.enhance.report import EnhanceReport
from ls3d.progress import ProgressCallback

if TYPE_CHECKING:
    from ls3d.models import EnhancementNetwork

PathLike = str | os.PathLike[str]


def interpolate(
    source: PathLike | BinaryIO,
    target: PathLike | BinaryIO,
    *,
    factor: Fraction | float | None = None,
    fps: Fraction | float | None = None,
    slow_motion: bool = False,
    model: PathLike | EnhancementNetwork = DEFAULT_INTERPOLATION,
    options: EnhanceOptions | None = None,
    progress: ProgressCallback | None = None,
) -> EnhanceReport:
    """Raise a video's frame rate: new frames are added between its own, which stay as they are.

    n frames become n * factor frames, rounded up, of the same duration; the last frame is held for its own duration.
    Output frame k is shown k / factor intervals after the first source frame, where an interval lasts from one source
    frame to the next: frames of a variable rate keep their spacing. A source frame passes through unchanged where an
    output frame has its time. Nothing is interpolated across a hard cut. Audio and all other streams are copied.

    Args:
        source: a video file, a folder of images, or a binary file from which a video (y4m) is read.
        target: a video file, a folder for PNG images (a name without suffix), or a binary file to which y4m is written.
        factor: from 1 to 100, such as 3, 2.5 or ``Fraction(5, 2)``; 2 unless ``fps`` is given. Networks that make
            frames at quarters of an interval are run repeatedly, and times are rounded to sixteenths of it.
        fps: frames per second, instead of a factor; likewise.
        slow_motion: keep the source's frame rate, so that the output is exactly ``factor`` times longer, without audio.
        model: an interpolation network: its name, its weights file, or the network itself.
        options: see ``EnhanceOptions``.
        progress: is called after every source frame.

    Raises:
        OutputExistsError: the target exists, and ``options.replaces_output`` is false.
        InputError: the source can't be decoded, or an argument is not what is expected.
        OSError: a file can't be read or written.
    """
    arguments = without_none(factor=factor, fps=fps, slow_motion=slow_motion, model=model)
    return EnhanceCall("interpolate", source, target, arguments, options or EnhanceOptions()).run(progress)


def upscale(
    source: PathLike | BinaryIO,
    target: PathLike | BinaryIO,
    *,
    scale: Fraction | float | None = None,
    width: int | None = None,
    height: int | None = None,
    fit: tuple[int, int] | None = None,
    model: PathLike | EnhancementNetwork = DEFAULT_SUPER_RESOLUTION,
    options: EnhanceOptions | None = None,
    progress: ProgressCallback | None = None,
) -> EnhanceReport:
    """Enlarge a video.

    The network enlarges by its own scale; other sizes are made from its output by antialiased bicubic resizing. Sides
    are rounded to the nearest whole pixel, or even number of pixels where the output's chroma has half the size. At
    most one of ``scale``, ``width``, ``height`` and ``fit`` can be given; by default, it is the network's scale.

    Args:
        source: see ``interpolate``.
        target: see ``interpolate``.
        scale: how many times larger, more than 0 and at most 8, such as 2, 1.5 or ``Fraction(3, 2)``; the pixels keep
            their shape.
        width: of the output as it is shown, in square pixels; the height follows from the source's shape.
        height: of the output as it is shown, in square pixels; the width follows from the source's shape.
        fit: width and height of a box, in square pixels; the output gets the largest size of the source's shape that
            fits.
        model: a super-resolution network: its name, its weights file, or the network itself.
        options: see ``EnhanceOptions``.
        progress: is called after every source frame.

    Raises:
        OutputExistsError: the target exists, and ``options.replaces_output`` is false.
        InputError: the source can't be decoded, or an argument is not what is expected.
        OSError: a file can't be read or written.
    """
    arguments = without_none(scale=scale, width=width, height=height, fit=fit, model=model)
    return EnhanceCall("upscale", source, target, arguments, options or EnhanceOptions()).run(progress)


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
        OutputExistsError: the target exists, and ``options.replaces_output`` is false.
        InputError: the source can't be decoded, or an argument is not what is expected.
        OSError: a file can't be read or written.
    """
    arguments = without_none(sigma=sigma, model=model)
    return EnhanceCall("denoise", source, target, arguments, options or EnhanceOptions()).run(progress)


def enhance(
    source: PathLike | BinaryIO,
    target: PathLike | BinaryIO,
    *,
    sigma: float | str | None = None,
    scale: Fraction | float | None = None,
    width: int | None = None,
    height: int | None = None,
    fit: tuple[int, int] | None = None,
    factor: Fraction | float | None = None,
    fps: Fraction | float | None = None,
    slow_motion: bool = False,
    denoising_model: PathLike | EnhancementNetwork | None = None,
    super_resolution_model: PathLike | EnhancementNetwork | None = None,
    interpolation_model: PathLike | EnhancementNetwork | None = None,
    options: EnhanceOptions | None = None,
    progress: ProgressCallback | None = None,
) -> EnhanceReport:
    """Denoise, enlarge and interpolate a video in one pass: it is decoded and encoded once.

    The steps are done in this order, whatever the order of the arguments. Nothing is rounded in between. Steps that are
    not asked for are left out.

    Args:
        source: see ``interpolate``.
        target: see ``interpolate``.
        sigma: see ``denoise``. ``"auto"`` measures the noise of some frames first, and leaves the step out if it is too
            little to be seen. None or 0 for no denoising.
        scale: see ``upscale``. None (without another size) or 1 for no enlargement.
        width: see ``upscale``.
        height: see ``upscale``.
        fit: see ``upscale``.
        factor: see ``interpolate``. None (without ``fps`` or ``slow_motion``) or 1 for no interpolation.
        fps: see ``interpolate``.
        slow_motion: see ``interpolate``.
        denoising_model: its name, its weights file, or the network itself; by default the one of ``denoise``.
        super_resolution_model: likewise, by default the one of ``upscale``.
        interpolation_model: likewise, by default the one of ``interpolate``.
        options: see ``EnhanceOptions``; ``tile`` is in pixels of each network's input.
        progress: is called after every source frame.

    Raises:
        OutputExistsError: the target exists, and ``options.replaces_output`` is false.
        InputError: the source can't be decoded, an argument is not what is expected, no step is asked for, or a network
            is given for a step that isn't.
        OSError: a file can't be read or written.
    """
    arguments = without_none(
        sigma=sigma,
        scale=scale,
        width=width,
        height=height,
        fit=fit,
        factor=factor,
        fps=fps,
        slow_motion=slow_motion,
        denoising_model=denoising_model,
        super_resolution_model=super_resolution_model,
        interpolation_model=interpolation_model,
    )
    return EnhanceCall("enhance", source, target, arguments, options or EnhanceOptions()).run(progress)
