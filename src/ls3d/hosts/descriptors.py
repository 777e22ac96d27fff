"""What a program with a graphical interface needs to know of a network to offer it and to run it.

The fields follow spandrel (https://github.com/chaiNNer-org/spandrel), whose descriptors are for single images. Networks
for video need more: how many frames they take, where the result is among them, and at which times between two frames
they make new ones. spandrel's own registry can't hold them, because its models take one image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ls3d.models import (
    EnhancementTraits,
    ModelInfo,
    Network,
    RecognitionTraits,
    Task,
    Traits,
    bundled_weights,
    list_models,
    model_info,
)
from ls3d.models.network import Times
from ls3d.models.outline import make_outline
from ls3d.models.weights import read_config

#: spandrel's words for what a network is for, and two that it has no word for.
Purpose = Literal["SR", "Restoration", "Interpolation", "Classification"]

#: Whether frames may be divided into tiles that overlap and are processed alone, as ``Enhancer(tile=...)`` does.
Tiling = Literal["supported", "unsupported"]

_PURPOSES: dict[Task, Purpose] = {
    "super-resolution": "SR",
    "denoising": "Restoration",
    "interpolation": "Interpolation",
}


@dataclass(frozen=True)
class ModelDescriptor:
    """What a host must know of a network.

    A host calls an enhancement network with ``frames (N, input_channels, frames, H, W)``, and gets frames of
    ``scale`` times the size. ``ls3d.inference.Enhancer`` does that with padding, tiles, precision and device.

    Attributes:
        name: the name that ``load_model`` takes.
        architecture: name of the architecture.
        description: one sentence.
        task: what it is for, in the words of ls3d.
        purpose: what it is for, in the words of spandrel where it has one.
        scale: output height and width over input height and width.
        input_channels: 3 for RGB; 0 for networks that don't take frames alone.
        size_multiple: height and width of the input must be divisible by this; ``Enhancer`` pads frames of other sizes.
        tiling: whether frames may be divided into tiles.
        frames: number of input frames of a call; None for any number.
        output_frame: index of the restored frame among the input frames; None for networks that don't restore one.
        times: at which times between two frames new ones can be made; None for other tasks.
        takes_sigma: whether the network takes the noise level.
        value_range: lowest and highest nominal value of frames; None for networks that don't take frames alone.
        is_ready: whether ``load_model(name)`` works without a file of weights or a download.
    """

    name: str
    architecture: str
    description: str
    task: Task
    purpose: Purpose
    scale: int
    input_channels: int
    size_multiple: int
    tiling: Tiling
    frames: int | None
    output_frame: int | None
    times: Times | None
    takes_sigma: bool
    value_range: tuple[float, float] | None
    is_ready: bool


def describe(model: str | Network) -> ModelDescriptor:
    """Describe a network.

    Args:
        model: its name, for the network that ``load_model`` gives, or the network itself.

    Raises:
        InputError: no network has this name, or a network was not built by ``create_model``.
    """
    if isinstance(model, str):
        info = model_info(model)
        weights = bundled_weights().get(info.name)
        if weights is None:
            return _describe(model, info, info.traits, is_ready=info.parameters == 0)
        config = read_config(weights)
        return _describe(model, info, make_outline(config.architecture, config.arguments).traits, is_ready=True)
    info = model_info(model.require_config().architecture)
    return _describe(info.name, info, model.traits, is_ready=True)


def describe_all(task: Task | None = None) -> list[ModelDescriptor]:
    """Describe every network that is ready to use: those with bundled weights and those that need none.

    Args:
        task: of the networks; None for any.
    """
    found = [describe(name) for name in list_models(task=task)]
    return [descriptor for descriptor in found if descriptor.is_ready]


def _describe(name: str, info: ModelInfo, traits: Traits, is_ready: bool) -> ModelDescriptor:
    purpose = _PURPOSES.get(traits.task, "Classification")
    if isinstance(traits, EnhancementTraits):
        return ModelDescriptor(
            name,
            info.name,
            info.description,
            traits.task,
            purpose,
            scale=traits.scale,
            input_channels=3,
            size_multiple=traits.size_multiple,
            tiling="supported",
            frames=traits.frames_before + 1 + traits.frames_after,
            output_frame=None if traits.times else traits.frames_before,
            times=traits.times,
            takes_sigma=traits.takes_sigma,
            value_range=traits.value_range,
            is_ready=is_ready,
        )
    assert isinstance(traits, RecognitionTraits)
    return ModelDescriptor(
        name,
        info.name,
        info.description,
        traits.task,
        purpose,
        scale=1,
        input_channels=3 if traits.modalities == ("clip",) else 0,
        size_multiple=1,
        tiling="unsupported",
        frames=traits.clip_length,
        output_frame=None,
        times=None,
        takes_sigma=False,
        value_range=None,
        is_ready=is_ready,
    )
