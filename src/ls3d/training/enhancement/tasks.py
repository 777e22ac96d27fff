"""What a network is given, and what it is asked for, made from a window of clean frames.

Interpolation hides the frames between two (section 4.2 of the LS3D-Conv paper), super-resolution shrinks the window
(section 4.3), denoising adds white Gaussian noise (section 4.4). All of it happens on the device of the clean frames.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ls3d.data.degradations import get_degradation
from ls3d.errors import InputError
from ls3d.models import EnhancementNetwork, create_model
from ls3d.training.recipe.schema import Recipe


class Problem(Protocol):
    """A task made of windows of clean frames ``(N, 3, frames, H, W)`` in [0, 1].

    Attributes:
        frames: length of a window.
        weightless: the model without weights that any network has to beat.
    """

    frames: int
    weightless: str

    def inputs(self, clean: Tensor, generator: torch.Generator) -> tuple[Any, ...]:
        """The arguments of the network's ``forward``; all randomness comes from ``generator``, on the same device."""
        ...

    def target(self, clean: Tensor, count: int) -> Tensor:
        """The frames that a network which returns ``count`` of them should return."""
        ...

    def baseline(self, inputs: tuple[Any, ...], count: int) -> Tensor:
        """The same frames, made without weights."""
        ...


class Interpolation:
    """Two frames are given, the three between them are wanted."""

    frames = 5
    weightless = "blend"

    def __init__(self) -> None:
        self._blend = create_model(self.weightless)

    def inputs(self, clean: Tensor, generator: torch.Generator) -> tuple[Any, ...]:
        """``(N, 3, 2, H, W)``, and the times of the wanted frames."""
        return clean[:, :, [0, 4]], [0.25, 0.5, 0.75]

    def target(self, clean: Tensor, count: int) -> Tensor:
        """``(N, 3, 3, H, W)``."""
        return clean[:, :, 1:4]

    def baseline(self, inputs: tuple[Any, ...], count: int) -> Tensor:
        """The linear blend of the two frames."""
        return self._blend(*inputs)


class _Restoration:
    """What super-resolution and denoising share: the network's window, and which of its frames are wanted."""

    weightless: str

    def __init__(self, model: EnhancementNetwork) -> None:
        self.before = model.traits.frames_before
        self.frames = self.before + 1 + model.traits.frames_after
        self._weightless = create_model(self.weightless)

    def target(self, clean: Tensor, count: int) -> Tensor:
        """The window itself, or its middle frame ``(N, 3, 1, H, W)`` for a network that returns only that."""
        return clean if count == self.frames else clean[:, :, self.before : self.before + 1]

    def baseline(self, inputs: tuple[Any, ...], count: int) -> Tensor:
        """Bicubic enlargement, or the noisy frames themselves."""
        return self._weightless(self.target(inputs[0], count))


class SuperResolution(_Restoration):
    """The window at a quarter of the size is given.

    Args:
        model: the network, for its window.
        degraded: how the window is shrunk, a key of ``ls3d.data.degradations.DEGRADATIONS``.
    """

    weightless = "bicubic"

    def __init__(self, model: EnhancementNetwork, degraded: str) -> None:
        super().__init__(model)
        self.degradation = get_degradation(degraded)

    def inputs(self, clean: Tensor, generator: torch.Generator) -> tuple[Any, ...]:
        """``(N, 3, T, H / 4, W / 4)``, rounded to 8 bit as the published test sets are."""
        shrunk = self.degradation.function(clean.flatten(0, 2), generator)
        return (shrunk.unflatten(0, clean.shape[:3]),)


class Denoising(_Restoration):
    """The window under white Gaussian noise is given, neither clipped nor rounded, and how strong the noise is.

    Args:
        model: the network, for its window and whether it takes the noise level.
        sigma: range of the noise's standard deviation in units of 8-bit values; each sample draws its own.
    """

    weightless = "identity"

    def __init__(self, model: EnhancementNetwork, sigma: tuple[float, float]) -> None:
        super().__init__(model)
        self.sigma = sigma
        self.takes_sigma = model.traits.takes_sigma

    def inputs(self, clean: Tensor, generator: torch.Generator) -> tuple[Any, ...]:
        """``(N, 3, T, H, W)``, and ``(N,)``: the noise level in units of [0, 1]."""
        low, high = (level / 255 for level in self.sigma)
        draws = torch.rand(len(clean), generator=generator, device=clean.device)
        sigma = low + (high - low) * draws
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        noisy = clean + sigma[:, None, None, None, None] * noise
        return (noisy, sigma) if self.takes_sigma else (noisy,)


def make_problem(recipe: Recipe, model: EnhancementNetwork) -> Problem:
    """The problem that a recipe poses to a network.

    Raises:
        InputError: the network is for another task.
    """
    task = model.traits.task
    if task != recipe.task:
        raise InputError(f"the model {recipe.model.name} is for {task}, the recipe's task is {recipe.task}")
    if recipe.task == "interpolation":
        return Interpolation()
    if recipe.task == "super-resolution":
        shrunk = get_degradation(recipe.data.degradation).scale
        if model.traits.scale != shrunk:
            raise InputError(
                f"the model enlarges {model.traits.scale} times, data.degradation makes {shrunk} times smaller"
            )
        return SuperResolution(model, recipe.data.degradation)
    return Denoising(model, recipe.data.sigma)
