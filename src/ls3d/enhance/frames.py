"""Enhancement of frames in memory: ``interpolate_frames``, ``upscale_frames``, ``denoise_frames``, ``enhance_frames``.

Each takes any iterable of frames and returns an iterator, so that a video of any length needs only the memory of a few
frames. A frame is an array ``(H, W, 3)`` of uint8 R'G'B', or a tensor ``(3, H, W)`` of floating-point R'G'B' in [0, 1].
The output frames are of the same kind, a tensor's also of the same type and on the same device. Nothing is interpolated
across a hard cut, and no network sees frames of another shot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from ls3d.enhance._arguments import check_interpolation, exact_factor, read_noise_level
from ls3d.enhance._arrays import ArrayTensors, ByteArray, array_frame, array_of
from ls3d.enhance._frame_tasks import FrameTask, chain_task
from ls3d.enhance._loading import StepRequest, load_step, step_requests
from ls3d.enhance._setup import PathLike
from ls3d.enhance._size import SizeRequest, requested_size
from ls3d.enhance._steps import LoadedStep, reach
from ls3d.enhance._timeline import Multiply, OutputClock
from ls3d.enhance._wanted import Models, WantedSteps
from ls3d.enhance._windows import windows
from ls3d.enhance.options import DEFAULT_DENOISING, DEFAULT_INTERPOLATION, DEFAULT_SUPER_RESOLUTION, EnhanceOptions
from ls3d.errors import InputError
from ls3d.inference import NetworkOutputError, Precision
from ls3d.models import EnhancementNetwork
from ls3d.video import Frame, TimeRange, find_cuts

__all__ = ["denoise_frames", "enhance_frames", "interpolate_frames", "upscale_frames"]

FrameT = TypeVar("FrameT", ByteArray, Tensor)

_CUT_THRESHOLD = EnhanceOptions().cut_threshold


def interpolate_frames(
    frames: Iterable[FrameT],
    *,
    factor: Fraction | float = 2,
    model: PathLike | EnhancementNetwork = DEFAULT_INTERPOLATION,
    device: str = "auto",
    precision: Precision = "float32",
    tile: int | None = None,
    cut_threshold: float = _CUT_THRESHOLD,
) -> Iterator[FrameT]:
    """Add new frames between evenly spaced ones; these pass through as they are.

    n frames become n * factor, rounded up: output frame k is ``k / factor`` intervals after the first frame. The last
    frame, and the last one before a cut, are repeated instead.

    Args:
        frames: arrays or tensors as the module says, all of the same size and type.
        factor: from 1 to 100, such as 2, 2.5 or ``Fraction(5, 2)``.
        model: an interpolation network: its name, its weights file, or the network itself.
        device: see ``EnhanceOptions``.
        precision: see ``EnhanceOptions``.
        tile: see ``EnhanceOptions``.
        cut_threshold: see ``EnhanceOptions``; 0 for frames of a single shot.

    Raises:
        InputError: an argument is not what is expected, or, while iterating, a frame.
    """
    check_interpolation(factor, None, slow_motion=False)
    options = EnhanceOptions(device, precision, tile, cut_threshold=cut_threshold)
    return _enhanced(frames, [StepRequest(model, "interpolation")], options, factor=exact_factor(factor))


def upscale_frames(
    frames: Iterable[FrameT],
    *,
    scale: Fraction | float | None = None,
    width: int | None = None,
    height: int | None = None,
    fit: tuple[int, int] | None = None,
    model: PathLike | EnhancementNetwork = DEFAULT_SUPER_RESOLUTION,
    device: str = "auto",
    precision: Precision = "float32",
    tile: int | None = None,
    cut_threshold: float = _CUT_THRESHOLD,
) -> Iterator[FrameT]:
    """Enlarge frames.

    Args:
        frames: see ``interpolate_frames``.
        scale: how many times larger, more than 0 and at most 8; by default the network's scale. Sides are rounded to
            the nearest pixel.
        width: of the output, instead of a scale; the height follows from the frames' shape.
        height: of the output, instead of a scale; the width follows from the frames' shape.
        fit: width and height of a box, instead of a scale; the output gets the largest size that fits.
        model: a super-resolution network: its name, its weights file, or the network itself.
        device: see ``EnhanceOptions``.
        precision: see ``EnhanceOptions``.
        tile: see ``EnhanceOptions``.
        cut_threshold: see ``EnhanceOptions``; 0 for frames of a single shot.

    Raises:
        InputError: an argument is not what is expected, or, while iterating, a frame.
    """
    size = requested_size(scale, width, height, fit)
    options = EnhanceOptions(device, precision, tile, cut_threshold=cut_threshold)
    return _enhanced(frames, [StepRequest(model, "super-resolution")], options, size)


def denoise_frames(
    frames: Iterable[FrameT],
    *,
    sigma: float | str | None = None,
    model: PathLike | EnhancementNetwork = DEFAULT_DENOISING,
    device: str = "auto",
    precision: Precision = "float32",
    tile: int | None = None,
    cut_threshold: float = _CUT_THRESHOLD,
) -> Iterator[FrameT]:
    """Remove noise from frames.

    Args:
        frames: see ``interpolate_frames``.
        sigma: standard deviation of the noise in [0, 255], or ``"auto"`` to measure it in every frame; only for
            networks that take it, where ``"auto"`` is the default.
        model: a denoising network: its name, its weights file, or the network itself.
        device: see ``EnhanceOptions``.
        precision: see ``EnhanceOptions``.
        tile: see ``EnhanceOptions``.
        cut_threshold: see ``EnhanceOptions``; 0 for frames of a single shot.

    Raises:
        InputError: an argument is not what is expected, or, while iterating, a frame.
    """
    level = None if sigma is None else read_noise_level(sigma)
    options = EnhanceOptions(device, precision, tile, cut_threshold=cut_threshold)
    return _enhanced(frames, [StepRequest(model, "denoising", level)], options)


def enhance_frames(
    frames: Iterable[FrameT],
    *,
    sigma: float | str | None = None,
    scale: Fraction | float | None = None,
    width: int | None = None,
    height: int | None = None,
    fit: tuple[int, int] | None = None,
    factor: Fraction | float | None = None,
    denoising_model: PathLike | EnhancementNetwork | None = None,
    super_resolution_model: PathLike | EnhancementNetwork | None = None,
    interpolation_model: PathLike | EnhancementNetwork | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    tile: int | None = None,
    cut_threshold: float = _CUT_THRESHOLD,
) -> Iterator[FrameT]:
    """Denoise, enlarge and interpolate frames, in this order. Nothing is rounded in between.

    Args:
        frames: see ``interpolate_frames``.
        sigma: see ``denoise_frames``; ``"auto"`` measures every frame. None or 0 for no denoising.
        scale: see ``upscale_frames``. None (without another size) or 1 for no enlargement.
        width: see ``upscale_frames``.
        height: see ``upscale_frames``.
        fit: see ``upscale_frames``.
        factor: see ``interpolate_frames``. None or 1 for no interpolation.
        denoising_model: its name, its weights file, or the network itself; by default the one of ``denoise_frames``.
        super_resolution_model: likewise.
        interpolation_model: likewise.
        device: see ``EnhanceOptions``.
        precision: see ``EnhanceOptions``.
        tile: see ``EnhanceOptions``; in pixels of each network's input.
        cut_threshold: see ``EnhanceOptions``; 0 for frames of a single shot.

    Raises:
        InputError: an argument is not what is expected, no step is asked for, or, while iterating, a frame.
    """
    models = Models(denoising_model, super_resolution_model, interpolation_model)
    wanted = WantedSteps.of(models, sigma, (scale, width, height, fit), factor)
    options = EnhanceOptions(device, precision, tile, cut_threshold=cut_threshold)
    return _enhanced(frames, step_requests(wanted), options, wanted.size, wanted.factor)


def _enhanced(
    frames: Iterable[FrameT],
    requests: Sequence[StepRequest],
    options: EnhanceOptions,
    size: SizeRequest | None = None,
    factor: Fraction = Fraction(1),
) -> Iterator[FrameT]:
    """Load the networks; the output frames are made when they are asked for.

    Args:
        frames: the source.
        requests: what is done to them.
        options: of the networks and the cut detector.
        size: of the output, if it is not the networks' own.
        factor: output frames for each source frame.
    """
    steps = [load_step(request, options) for request in requests]
    outputs: Iterator[object] = _outputs(frames, steps, size, factor, options.cut_threshold)
    return cast(Iterator[FrameT], outputs)


def _outputs(
    frames: Iterable[ByteArray | Tensor],
    steps: Sequence[LoadedStep],
    size: SizeRequest | None,
    factor: Fraction,
    cut_threshold: float,
) -> Iterator[ByteArray | Tensor]:
    """The output frames, of the kind that is given."""
    clock = OutputClock(Multiply(factor), TimeRange(), 1 / factor)
    scanned = find_cuts(_numbered(frames), cut_threshold)
    task: FrameTask | None = None
    for window in windows(scanned, *reach([step.enhancer for step in steps]), Fraction(0), None, clock):
        source = array_of(window.frame)
        if task is None:
            task = _task(steps, size, window.frame)
        try:
            for output in task.outputs(window):
                made = output.pixels
                yield array_of(made) if isinstance(made, Frame) else _like(source, made)
        except NetworkOutputError as error:
            raise type(error)(f"frame {int(window.frame.time)}: {error}") from error


def _task(steps: Sequence[LoadedStep], size: SizeRequest | None, first: Frame) -> FrameTask:
    """What is done to frames like the first one."""
    enhancers = [step.enhancer for step in steps]
    scale = math.prod(enhancer.traits.scale for enhancer in enhancers)
    device = enhancers[0].device if enhancers else torch.device("cpu")
    wanted = (size or SizeRequest(scale=Fraction(scale))).size(first.picture.height, first.picture.width)
    return chain_task(ArrayTensors(device), enhancers, [step.sigma for step in steps], wanted)


def _numbered(frames: Iterable[ByteArray | Tensor]) -> Iterator[Frame]:
    """Frames with their numbers, from 0, as times.

    Raises:
        InputError: a frame is not what is expected, or not like the first one.
    """
    expected = None
    for number, array in enumerate(frames):
        kind = _kind(number, array)
        expected = expected or kind
        if kind != expected:
            raise InputError(f"frame {number} is {kind}; expected {expected}, as the first frame")
        yield array_frame(number, array)


def _kind(number: int, array: object) -> str:
    """Type and shape of a frame.

    Raises:
        InputError: it is no frame.
    """
    if isinstance(array, np.ndarray):
        found = f"an array of {array.dtype}, {array.shape}"
        valid = array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3
    elif isinstance(array, Tensor):
        found = f"a tensor of {array.dtype}, {tuple(array.shape)}"
        valid = array.is_floating_point() and array.ndim == 3 and array.shape[0] == 3
    else:
        found = f"a {type(array).__name__}"
        valid = False
    if not valid:
        raise InputError(f"frame {number} is {found}; expected an array (H, W, 3) of uint8 or a float tensor (3, H, W)")
    return found


def _like(source: ByteArray | Tensor, made: Tensor) -> ByteArray | Tensor:
    """A new frame ``(3, H, W)`` as the kind of frame that the source is."""
    clipped = made.clamp(0, 1)
    if isinstance(source, Tensor):
        return clipped.to(source)
    return np.ascontiguousarray((clipped * 255).round().byte().permute(1, 2, 0).cpu().numpy())
