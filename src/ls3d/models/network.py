"""The contract of all networks: what a network does, what it takes, and how to rebuild it.

A class states its ``traits``; ``create_model`` sets its ``config``. Code that runs, trains, measures or saves a network
reads these two and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Self, get_args

from torch import Tensor, nn

from ls3d.errors import InputError

Task = Literal["interpolation", "super-resolution", "denoising", "recognition", "audio", "audio-visual", "multimodal"]

#: The times at which an interpolation network can make frames: multiples of 1/4, or any.
Times = Literal["quarters", "any"]

#: The kinds of input that a recognition network takes.
Modality = Literal["clip", "flow", "spectrogram"]

_ENHANCEMENT_TASKS = ("interpolation", "super-resolution", "denoising")
_RECOGNITION_TASKS = ("recognition", "audio", "audio-visual", "multimodal")


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a network does. No field has a default: a class that omits one fails when it is defined.

    Attributes:
        task: the task of the network.
    """

    task: Task

    def __post_init__(self) -> None:
        if self.task not in get_args(Task):
            raise ValueError(f"task is {self.task!r}, expected one of {', '.join(get_args(Task))}")


@dataclass(frozen=True, kw_only=True)
class EnhancementTraits(Traits):
    """What a network that maps frames to frames takes and returns.

    Attributes:
        size_multiple: height and width of the input must be divisible by this.
        scale: output height and width over input height and width.
        frames_before: input frames before the restored one; 0 for interpolation.
        frames_after: input frames after the restored one; 1 for interpolation: the second frame.
        takes_sigma: whether ``forward`` takes the noise level ``sigma (N,)``, on the scale of ``value_range``.
        times: the times at which an interpolation network can make frames; None for the other tasks.
        value_range: lowest and highest nominal value of input and output frames.
    """

    size_multiple: int
    scale: int
    frames_before: int
    frames_after: int
    takes_sigma: bool
    times: Times | None
    value_range: tuple[float, float]

    @classmethod
    def interpolation(cls, *, size_multiple: int, times: Times, value_range: tuple[float, float]) -> Self:
        """Traits of a network that makes frames of the same size between two given ones."""
        return cls(
            task="interpolation",
            size_multiple=size_multiple,
            scale=1,
            frames_before=0,
            frames_after=1,
            takes_sigma=False,
            times=times,
            value_range=value_range,
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task not in _ENHANCEMENT_TASKS:
            raise ValueError(f"task is {self.task!r}, expected one of {', '.join(_ENHANCEMENT_TASKS)}")
        if min(self.size_multiple, self.scale) < 1 or min(self.frames_before, self.frames_after) < 0:
            raise ValueError(f"size_multiple and scale must be at least 1, frame counts at least 0: {self}")
        if (self.task == "interpolation") != (self.times is not None):
            raise ValueError(f"times is {self.times!r}; interpolation networks must state it, and no others")
        if not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"value_range is {self.value_range}, expected (lowest, highest)")


@dataclass(frozen=True, kw_only=True)
class RecognitionTraits(Traits):
    """What a network that classifies clips takes.

    Attributes:
        modalities: the inputs of ``forward``, in order: ``clip (N, C, T, H, W)``,
            ``flow (N, 2, T, H, W)``, ``spectrogram (N, 1, time, mel)``.
        clip_length: the only number of frames that a clip may have; None for any.
    """

    modalities: tuple[Modality, ...]
    clip_length: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task not in _RECOGNITION_TASKS:
            raise ValueError(f"task is {self.task!r}, expected one of {', '.join(_RECOGNITION_TASKS)}")
        if not self.modalities or not set(self.modalities) <= set(get_args(Modality)):
            raise ValueError(f"modalities are {self.modalities}, expected some of {', '.join(get_args(Modality))}")
        if self.clip_length is not None and self.clip_length < 1:
            raise ValueError(f"clip_length is {self.clip_length}, expected at least 1")


@dataclass(frozen=True)
class ModelConfig:
    """How to rebuild a network, and the other metadata of its weights file.

    Attributes:
        architecture: the name that ``create_model`` takes.
        arguments: the arguments that ``create_model`` takes, JSON-able.
        metadata: the other entries of the weights file, JSON-able: training data, license, recipe, metrics, ...

    Raises:
        ValueError: ``metadata`` has an entry "architecture" or "arguments".
    """

    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        reserved = self.metadata.keys() & {"architecture", "arguments"}
        if reserved:
            raise ValueError(f"metadata may not have the entries {', '.join(sorted(reserved))}")

    def with_arguments(self, **arguments: Any) -> ModelConfig:
        """Return a copy with some arguments added or replaced."""
        return replace(self, arguments={**self.arguments, **arguments})

    def with_metadata(self, **metadata: Any) -> ModelConfig:
        """Return a copy with some metadata added or replaced."""
        return replace(self, metadata={**self.metadata, **metadata})

    def to_dict(self) -> dict[str, Any]:
        """Return one flat dictionary, as it is stored in weights files; ``from_dict`` reads it."""
        return {"architecture": self.architecture, "arguments": self.arguments, **self.metadata}

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Read what ``to_dict`` returned.

        Raises:
            InputError: ``values`` is no dictionary, or its architecture or arguments are missing or of another type.
        """
        if not isinstance(values, dict):
            _refuse("the metadata", values, "a dictionary")
        missing = {"architecture", "arguments"} - values.keys()
        if missing:
            raise InputError(f"the metadata has no {' and no '.join(sorted(missing))}")
        metadata = dict(values)
        architecture = metadata.pop("architecture")
        arguments = metadata.pop("arguments")
        if not isinstance(architecture, str):
            _refuse("architecture", architecture, "the name of a model")
        if not isinstance(arguments, dict):
            _refuse("arguments", arguments, "a dictionary")
        return cls(architecture, arguments, metadata)


def _refuse(what: str, value: object, expected: str) -> NoReturn:
    raise InputError(f"{what} is {value!r}, expected {expected}")


class Network(nn.Module):
    """Base of all networks that can be created by name and run on their own.

    Attributes:
        traits: stated by the class; an instance replaces them where they depend on its arguments.
        config: set by ``create_model`` and ``load_model``; None for a network that was built from its class.
    """

    traits: Traits
    config: ModelConfig | None = None

    def require_config(self) -> ModelConfig:
        """Return ``config``.

        Raises:
            InputError: it is None.
        """
        if self.config is None:
            raise InputError(f"this {type(self).__name__} was not built by create_model, so its arguments are unknown")
        return self.config

    @property
    def name(self) -> str:
        """Name of the architecture; of the class, for a network that was built from its class."""
        return type(self).__name__ if self.config is None else self.config.architecture

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], **options: Any) -> Self:
        """Call ``ls3d.models.from_pretrained`` for a network of this class.

        Raises:
            InputError: the network is of another class.
        """
        from ls3d.models import loading

        model = loading.from_pretrained(source, **options)
        if not isinstance(model, cls):
            raise InputError(f"{source} holds a network of class {type(model).__name__}, expected {cls.__name__}")
        return model

    def save_pretrained(self, folder: str | os.PathLike[str], **metadata: Any) -> Path:
        """Call ``ls3d.models.save_pretrained``."""
        from ls3d.models import hub

        return hub.save_pretrained(self, folder, **metadata)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Call ``ls3d.models.push_to_hub``."""
        from ls3d.models import hub

        return hub.push_to_hub(self, repo_id, **options)


class EnhancementNetwork(Network):
    """Base of the networks that map frames to frames.

    Attributes:
        runs_in_torch: whether torch's tensors are all the memory that it needs; not where another runtime computes.
    """

    traits: EnhancementTraits
    runs_in_torch: ClassVar[bool] = True

    def forward_pyramid(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        """Run the network in training; it takes the arguments of ``forward``.

        Returns:
            Outputs from coarse to fine, each ``(N, 3, T, h, w)``, the last one being that of ``forward``. A network
            that works at one size only returns that one.
        """
        return [self(*args, **kwargs)]


class InterpolationNetwork(EnhancementNetwork):
    """Base of the networks that make new frames between two.

    Attributes:
        fixed_times: the only times at which it makes frames; None for all that ``traits.times`` allows.
    """

    fixed_times: tuple[float, ...] | None = None

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """Make the frames at ``times``.

        Args:
            frames: ``(N, 3, 2, H, W)`` in ``traits.value_range``; H and W must be multiples of
                ``traits.size_multiple``.
            times: in [0, 1], from the first frame to the second; multiples of 1/4 where ``traits.times`` is
                ``"quarters"``. None stands for ``QUARTERS``.

        Returns:
            ``(N, 3, len(times), H, W)``, not clamped.

        Raises:
            ValueError: the network can't make a frame at one of the times.
        """
        raise NotImplementedError


class RestorationNetwork(EnhancementNetwork):
    """Base of the networks that enlarge or denoise a frame, given its neighbors."""

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Restore every frame of a window, or its middle frame only.

        Args:
            frames: ``(N, 3, T, h, w)`` in ``traits.value_range``, with ``T = frames_before + 1 + frames_after``; h and
                w must be multiples of ``traits.size_multiple``.
            sigma: ``(N,)``, standard deviation of the noise on the scale of the frames; required where
                ``traits.takes_sigma``, ignored otherwise.

        Returns:
            ``(N, 3, T, scale * h, scale * w)``, or ``(N, 3, 1, scale * h, scale * w)`` from a network that restores
            the middle frame only; not clamped.

        Raises:
            ValueError: ``sigma`` is required and None.
        """
        raise NotImplementedError


#: The times that a network with ``traits.times == "quarters"`` can make: the default of every interpolation network.
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def quarter_indices(times: Sequence[float] | None) -> list[int]:
    """Convert times to multiples of a quarter, 0 to 4; None stands for all five.

    Raises:
        ValueError: a time is not 0, 1/4, 1/2, 3/4 or 1.
    """
    if times is None:
        return list(range(5))
    # Not `time in QUARTERS`: torch.compile finds no open number in a tuple (dynamic=True).
    indices = [index for time in times for index, quarter in enumerate(QUARTERS) if time == quarter]
    if len(indices) != len(times):
        raise ValueError(f"times are {list(times)}, expected multiples of 1/4 from 0 to 1")
    return indices


def required_sigma(sigma: Tensor | None) -> Tensor:
    """Return the noise level of a ``forward`` that requires one.

    Raises:
        ValueError: it is None.
    """
    if sigma is None:
        raise ValueError("sigma is None, expected the noise level of each sample, (N,)")
    return sigma
