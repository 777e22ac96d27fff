"""Jobs from arguments: what the functions of ``ls3d.enhance.api`` check, open and load before they run.

A prepared job can be run in this process, or its ``job`` be pickled and its segments made elsewhere. Source and target
are checked before a network is loaded.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction
from typing import BinaryIO

from ls3d.enhance._arguments import check_interpolation, exact_factor, read_noise_level
from ls3d.enhance._loading import StepRequest, load_steps, step_requests
from ls3d.enhance._noise import has_noise
from ls3d.enhance._setup import PathLike, PreparedJob, check_target, open_source, prepare_job
from ls3d.enhance._size import requested_size
from ls3d.enhance._timeline import Constant, Multiply, Timeline
from ls3d.enhance._wanted import WantedSteps
from ls3d.enhance.options import (
    DEFAULT_DENOISING,
    DEFAULT_INTERPOLATION,
    DEFAULT_SUPER_RESOLUTION,
    EnhanceOptions,
)
from ls3d.models import EnhancementNetwork
from ls3d.video import exact_rate

__all__ = ["PreparedJob", "prepare_denoising", "prepare_enhancement", "prepare_interpolation", "prepare_upscaling"]

log = logging.getLogger(__name__)


def prepare_interpolation(
    source: PathLike | BinaryIO,
    target: PathLike | BinaryIO,
    *,
    factor: Fraction | float | None = None,
    fps: Fraction | float | None = None,
    slow_motion: bool = False,
    model: PathLike | EnhancementNetwork = DEFAULT_INTERPOLATION,
    options: EnhanceOptions,
) -> PreparedJob:
    """The job of ``ls3d.enhance.interpolate``, which explains arguments and errors."""
    check_interpolation(factor, fps, slow_motion)
    opened = open_source(source, options)
    checked = check_target(target, opened, options.replaces_output)
    times = exact_factor(2 if factor is None else factor)
    timeline: Timeline = Multiply(times) if fps is None else Constant(exact_rate(fps, "fps"), opened.span.start)
    steps = load_steps([StepRequest(model, "interpolation")], options, opened.source.info)
    return prepare_job(opened, checked, steps, timeline, options, stretch=times if slow_motion else Fraction(1))


def prepare_upscaling(
    source: PathLike | BinaryIO,
    target: PathLike | BinaryIO,
    *,
    scale: Fraction | float | None = None,
    width: int | None = None,
    height: int | None = None,
    fit: tuple[int, int] | None = None,
    model: PathLike | EnhancementNetwork = DEFAULT_SUPER_RESOLUTION,
    options: EnhanceOptions,
) -> PreparedJob:
    """The job of ``ls3d.enhance.upscale``, which explains arguments and errors."""
    size = requested_size(scale, width, height, fit)
    opened = open_source(source, options)
    checked = check_target(target, opened, options.replaces_output)
    steps = load_steps([StepRequest(model, "super-resolution")], options, opened.source.info, size)
    return prepare_job(opened, checked, steps, Multiply(Fraction(1)), options, size=size)


def prepare_denoising(
    source: PathLike | BinaryIO,
    target: PathLike | BinaryIO,
    *,
    sigma: float | str | None = None,
    model: PathLike | EnhancementNetwork = DEFAULT_DENOISING,
    options: EnhanceOptions,
) -> PreparedJob:
    """The job of ``ls3d.enhance.denoise``, which explains arguments and errors."""
    level = None if sigma is None else read_noise_level(sigma)
    opened = open_source(source, options)
    checked = check_target(target, opened, options.replaces_output)
    steps = load_steps([StepRequest(model, "denoising", level)], options, opened.source.info)
    return prepare_job(opened, checked, steps, Multiply(Fraction(1)), options)


def prepare_enhancement(
    source: PathLike | BinaryIO, target: PathLike | BinaryIO, wanted: WantedSteps, options: EnhanceOptions
) -> PreparedJob:
    """The job of ``ls3d.enhance.enhance``, which explains arguments and errors."""
    opened = open_source(source, options)
    checked = check_target(target, opened, options.replaces_output)
    if wanted.level == "auto" and not has_noise(opened.source, opened.span):
        wanted = replace(wanted, level=None)
    steps = load_steps(step_requests(wanted), options, opened.source.info, wanted.size)
    names = [f"{number}. {step.network.task} ({step.network.name})" for number, step in enumerate(steps, 1)]
    log.info("%s: %s", opened.source.info.name, ", ".join(names) or "no step is left, frames stay as they are")
    timeline: Timeline = Multiply(wanted.factor)
    if wanted.fps is not None:
        timeline = Constant(exact_rate(wanted.fps, "fps"), opened.span.start)
    stretch = wanted.factor if wanted.slow_motion else Fraction(1)
    return prepare_job(opened, checked, steps, timeline, options, stretch=stretch, size=wanted.size)
