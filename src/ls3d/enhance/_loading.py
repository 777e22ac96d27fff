"""Loading the networks of a job onto their device, with tiles that fit the memory."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ls3d.enhance._arguments import NoiseLevel
from ls3d.enhance._size import SizeRequest
from ls3d.enhance._steps import LoadedStep, NetworkReference, load_network, network_digest, reach
from ls3d.enhance._wanted import WantedSteps
from ls3d.enhance.options import (
    DEFAULT_DENOISING,
    DEFAULT_INTERPOLATION,
    DEFAULT_SUPER_RESOLUTION,
    EnhanceOptions,
)
from ls3d.errors import InputError
from ls3d.inference import Enhancer
from ls3d.models import EnhancementNetwork
from ls3d.video import VideoInfo

log = logging.getLogger(__name__)

Model = str | os.PathLike[str] | EnhancementNetwork

_DEFAULTS = {
    "denoising": DEFAULT_DENOISING,
    "super-resolution": DEFAULT_SUPER_RESOLUTION,
    "interpolation": DEFAULT_INTERPOLATION,
}

#: Frames in memory at once: decoded, in the encoder, as tensors before and after a network, and while one is resized.
_DECODED_FRAMES = 24
_ENCODER_FRAMES = 50
_TENSORS = 4
_MADE = 12
_RESIZED = 3
_MAX_DECODER_THREADS = 16
_TENSOR_PIXEL = 12  # bytes of three float32 values


@dataclass(frozen=True)
class StepRequest:
    """A step that was asked for.

    Attributes:
        model: the network: its name, its weights file, or the network itself.
        task: what it must be for.
        sigma: noise level for networks that take one; None for their default, ``"auto"``.
    """

    model: Model
    task: str
    sigma: NoiseLevel | None = None


def step_requests(wanted: WantedSteps) -> list[StepRequest]:
    """The steps of ``ls3d.enhance.enhance`` in the order in which they are done.

    Noise is removed first: it hides motion, and enlarged noise is no longer like the noise that networks are trained
    with. Frames are enlarged before new ones are made between them, so that the restoration networks see real frames
    only, each of them once. docs/enhancement.md has measurements.
    """
    models = wanted.models
    requests = []
    if wanted.level is not None:
        sigma = None if wanted.level == "auto" else wanted.level
        requests.append(_request(models.denoising, "denoising", sigma))
    if wanted.size is not None:
        requests.append(_request(models.super_resolution, "super-resolution"))
    if wanted.interpolates:
        requests.append(_request(models.interpolation, "interpolation"))
    return requests


def _request(model: Model | None, task: str, sigma: NoiseLevel | None = None) -> StepRequest:
    return StepRequest(_DEFAULTS[task] if model is None else model, task, sigma)


def load_steps(
    requests: Sequence[StepRequest], options: EnhanceOptions, info: VideoInfo, size: SizeRequest | None = None
) -> list[LoadedStep]:
    """Load networks onto their device, and choose tiles that fit the memory beside the frames of a source.

    Args:
        requests: the steps, in order.
        options: of the call.
        info: of the source.
        size: of the output, if it is not the networks' own.

    Raises:
        InputError: there is no such network or device, a noise level is given to a network that takes none, or too
            little memory is allowed.
    """
    steps = [load_step(request, options) for request in requests]
    if options.max_memory is not None:
        reserved = _frame_memory(info, [step.enhancer for step in steps], size)
        for step in steps:
            side = step.enhancer.fit_memory(options.max_memory, reserved)
            log.info("%s: tiles of at most %d pixels fit the memory", step.network.name, side)
    return steps


def load_step(request: StepRequest, options: EnhanceOptions) -> LoadedStep:
    """Load a network onto its device.

    Raises:
        InputError: there is no such network or device, or a noise level is given to a network that takes none.
    """
    model = request.model
    if isinstance(model, EnhancementNetwork):
        name = model.name
    else:
        name = str(model)
        model = str(Path(name).resolve()) if Path(name).is_file() else name
    network = load_network(model, request.task)
    enhancer = Enhancer(network, options.device, options.precision, options.tile)
    sigma = _noise_level_for(enhancer, request.sigma, name)
    return LoadedStep(NetworkReference(model, request.task, name, network_digest(network)), enhancer, sigma)


def _noise_level_for(enhancer: Enhancer, level: NoiseLevel | None, name: str) -> NoiseLevel | None:
    """The noise level that is passed to a network: by default measured; None if it takes none.

    Raises:
        InputError: a level is given, but the network takes none.
    """
    if enhancer.traits.takes_sigma:
        return "auto" if level is None else level
    if level is not None:
        shown = level if isinstance(level, str) else f"{level:g}"
        raise InputError(f"{shown}: the model {name} takes no noise level", argument="sigma")
    return None


def _frame_memory(info: VideoInfo, enhancers: Sequence[Enhancer], size: SizeRequest | None) -> int:
    """Estimated bytes of all frames that are in memory at once, from decoding to encoding."""
    sizes = info.color.layout.plane_sizes(info.height, info.width)
    decoded = sum(height * width for height, width in sizes) * info.color.layout.dtype.itemsize
    # Two decoders, for the plan and for the work, with a frame for each thread and for each that others refer to.
    decoding = _DECODED_FRAMES + 2 * min(os.cpu_count() or 1, _MAX_DECODER_THREADS) + sum(reach(enhancers[1:]))
    pixels = info.height * info.width
    scale = math.prod(enhancer.traits.scale for enhancer in enhancers)
    made = pixels * scale**2
    resized = 0
    if size is not None and size.scale != scale:
        resized = _RESIZED * made
        made = math.prod(size.size_of_video(info, "", (1, 1)))
    encoded = decoded * _ENCODER_FRAMES * made // pixels
    between = _pixels_between(pixels, enhancers)
    return decoded * decoding + encoded + _TENSOR_PIXEL * (_TENSORS * pixels + between + _MADE * made + resized)


def _pixels_between(pixels: int, enhancers: Sequence[Enhancer]) -> int:
    """Pixels of the frames between networks: those that wait for the next one, and those it is working on."""
    total = 0
    for first, second in pairwise(enhancers):
        pixels *= first.traits.scale**2
        total += 2 * pixels * (second.traits.frames_before + 1 + second.traits.frames_after)
    return total
