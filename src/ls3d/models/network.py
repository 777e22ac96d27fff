"""The contract of all networks: what a network does, what it takes, and how to build it again.

A class states its ``traits``; ``create_model`` sets its ``config``. Whoever runs, trains, measures or saves a network
reads these two and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from torch import Tensor, nn

from ls3d.errors import InputError

Task = Literal["interpolation", "super-resolution", "denoising", "recognition", "audio", "audio-visual"]

#: When an interpolation network can make frames: at quarters of the interval only, or at any time.
Times = Literal["quarters", "any"]

Modality = Literal["clip", "spectrogram"]


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a network does. No field has a default: a class that leaves one out fails when it is defined.

    Attributes:
        task: what the network is for.
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
        frames_before: frames before the one that is restored; 0 for interpolation.
        frames_after: frames after it; for interpolation 1, the second frame.
        takes_sigma: whether ``forward`` takes the noise level ``sigma (N,)`` in units of the value range.
        times: when an interpolation network can make frames, None for the other tasks.
        value_range: lowest and highest value of the frames in and out.
    """

    size_multiple: int
    scale: int
    frames_before: int
    frames_after: int
    takes_sigma: bool
    times: Times | None
    value_range: tuple[float, float]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task not in ("interpolation", "super-resolution", "denoising"):
            raise ValueError(f"task is {self.task!r}, expected an enhancement task")
        if min(self.size_multiple, self.scale) < 1 or min(self.frames_before, self.frames_after) < 0:
            raise ValueError(f"size_multiple and scale must be at least 1, frame counts at least 0: {self}")
        if (self.task == "interpolation") != (self.times is not None):
            raise ValueError(f"times is {self.times!r}; only interpolation networks state when they make frames")
        if not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"value_range is {self.value_range}, expected (lowest, highest)")


@dataclass(frozen=True, kw_only=True)
class RecognitionTraits(Traits):
    """What a network that classifies clips takes.

    Attributes:
        modalities: the arguments of ``forward``, in order: ``clip (N, C, T, H, W)``, ``spectrogram (N, 1, time, mel)``.
        clip_length: the one number of frames that it takes, None for any.
    """

    modalities: tuple[Modality, ...]
    clip_length: int | None


@dataclass(frozen=True)
class ModelConfig:
    """How to build a network again, and what its weights file says besides.

    Attributes:
        architecture: the name that ``create_model`` takes.
        arguments: its arguments.
        metadata: the other entries of the weights file: training data, license, recipe, metrics, ...
    """

    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def with_arguments(self, **arguments: Any) -> ModelConfig:
        """The same with some arguments replaced."""
        return replace(self, arguments={**self.arguments, **arguments})

    def with_metadata(self, **metadata: Any) -> ModelConfig:
        """The same with further metadata."""
        return replace(self, metadata={**self.metadata, **metadata})

    def to_dict(self) -> dict[str, Any]:
        """One flat JSON-able dictionary, as weights files hold it; ``from_dict`` reads it."""
        return {"architecture": self.architecture, "arguments": self.arguments, **self.metadata}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Read what ``to_dict`` wrote.

        Raises:
            InputError: there is no architecture, or no arguments.
        """
        missing = {"architecture", "arguments"} - values.keys()
        if missing:
            raise InputError(f"the metadata has no {' and no '.join(sorted(missing))}")
        metadata = {key: value for key, value in values.items() if key not in ("architecture", "arguments")}
        return cls(values["architecture"], values["arguments"], metadata)


class Network(nn.Module):
    """Base of all networks.

    Attributes:
        traits: stated by the class; an instance may replace them where they depend on its arguments.
        config: set by ``create_model`` and ``load_model``; None for a network that was built from its class.
    """

    traits: Traits
    config: ModelConfig | None = None

    def require_config(self) -> ModelConfig:
        """``config``, for whoever can't do without.

        Raises:
            InputError: the network was not built by ``create_model``.
        """
        if self.config is None:
            raise InputError(
                f"this {type(self).__name__} was not built by create_model, so nothing says how to rebuild it"
            )
        return self.config

    @property
    def name(self) -> str:
        """The architecture's name, or the class's for a network that was built from its class."""
        return type(self).__name__ if self.config is None else self.config.architecture

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], **options: Any) -> Self:
        """As ``ls3d.models.from_pretrained``, for a network of this class.

        Raises:
            InputError: the network is of another class.
        """
        from ls3d.models import hub

        model = hub.from_pretrained(source, **options)
        if not isinstance(model, cls):
            raise InputError(f"{source} holds a {type(model).__name__}, not a {cls.__name__}")
        return model

    def save_pretrained(self, folder: str | os.PathLike[str], **metadata: Any) -> Path:
        """As ``ls3d.models.save_pretrained``."""
        from ls3d.models import hub

        return hub.save_pretrained(self, folder, **metadata)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """As ``ls3d.models.push_to_hub``."""
        from ls3d.models import hub

        return hub.push_to_hub(self, repo_id, **options)


class EnhancementNetwork(Network):
    """Base of the networks that map frames to frames."""

    traits: EnhancementTraits


class InterpolationNetwork(EnhancementNetwork):
    """Base of the networks that make new frames between two."""

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """Make the frames at ``times``.

        Args:
            frames: ``(N, 3, 2, H, W)`` in ``traits.value_range``; H and W multiples of ``traits.size_multiple``.
            times: in [0, 1], 0 being the first frame; multiples of 1/4 where ``traits.times`` is ``"quarters"``. None
                is all five quarters.

        Returns:
            ``(N, 3, len(times), H, W)``, not clamped.

        Raises:
            ValueError: the network can't make a frame at one of the times.
        """
        raise NotImplementedError


class RestorationNetwork(EnhancementNetwork):
    """Base of the networks that make a frame larger or cleaner, given its neighbors."""

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Restore a window of frames, or the frame in its middle.

        Args:
            frames: ``(N, 3, T, h, w)`` with ``T = frames_before + 1 + frames_after``.
            sigma: ``(N,)``, standard deviation of the noise; only for networks with ``traits.takes_sigma``.

        Returns:
            ``(N, 3, T, scale * h, scale * w)``, or ``(N, 3, 1, ...)`` for a network that restores only the frame in
            the middle; not clamped.
        """
        raise NotImplementedError


#: The five times that a network with ``traits.times == "quarters"`` makes, and the default of all.
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def quarter_indices(times: Sequence[float] | None) -> list[int]:
    """Times as multiples of a quarter, 0 to 4; None is all five. For networks that make frames at quarters only.

    Raises:
        ValueError: a time is not 0, 1/4, 1/2, 3/4 or 1.
    """
    if times is None:
        return list(range(5))
    indices = [int(time * 4) for time in times]
    if any(index != time * 4 or not 0 <= index <= 4 for index, time in zip(indices, times, strict=True)):
        raise ValueError(f"times are {list(times)}, expected multiples of 1/4 from 0 to 1")
    return indices


def required_sigma(sigma: Tensor | None) -> Tensor:
    """The noise level, for a ``forward`` that can't do without.

    Raises:
        ValueError: it is None.
    """
    if sigma is None:
        raise ValueError("sigma is None, expected the noise level of each sample, (N,)")
    return sigma
