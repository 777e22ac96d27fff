"""Baselines without weights, as networks.

``repeat`` and ``blend`` interpolate, ``bicubic`` enlarges, ``identity`` denoises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ls3d.models.network import QUARTERS, EnhancementTraits, InterpolationNetwork, RestorationNetwork
from ls3d.models.registry import register_model
from ls3d.nn.resize import imresize


class Blend(InterpolationNetwork):
    """Blend the two frames linearly: the frame at t is ``(1 - t) * first + t * second``."""

    traits = EnhancementTraits.interpolation(size_multiple=1, times="any", value_range=(0.0, 1.0))

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``."""
        first, second = frames.unbind(2)
        quarters = [4 * time for time in (QUARTERS if times is None else times)]
        return torch.stack([(first * (4 - quarter) + second * quarter) / 4 for quarter in quarters], dim=2)


class Repeat(InterpolationNetwork):
    """Repeat the first frame at every time before the second."""

    traits = EnhancementTraits.interpolation(size_multiple=1, times="any", value_range=(0.0, 1.0))

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """See ``InterpolationNetwork.forward``."""
        return frames[:, :, [int(time == 1) for time in (QUARTERS if times is None else times)]]


class Bicubic(RestorationNetwork):
    """Enlarge every frame bicubically, as MATLAB's ``imresize``.

    Args:
        scale: output size over input size.
    """

    traits = EnhancementTraits(
        task="super-resolution",
        size_multiple=1,
        scale=4,
        frames_before=0,
        frames_after=0,
        takes_sigma=False,
        times=None,
        value_range=(0.0, 1.0),
    )

    def __init__(self, scale: int = 4) -> None:
        super().__init__()
        self.traits = replace(self.traits, scale=scale)

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Map ``(N, 3, T, h, w)`` to ``(N, 3, T, scale * h, scale * w)``."""
        return imresize(frames, self.traits.scale)


class Identity(RestorationNetwork):
    """Return the noisy frames: the score to improve on."""

    traits = EnhancementTraits(
        task="denoising",
        size_multiple=1,
        scale=1,
        frames_before=0,
        frames_after=0,
        takes_sigma=False,
        times=None,
        value_range=(0.0, 1.0),
    )

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Return ``frames``."""
        return frames


@register_model(parameters=0, input_size=(3, 2, 256, 256))
def blend() -> Blend:
    """Linear mix of the two frames; needs no weights."""
    return Blend()


@register_model(parameters=0, input_size=(3, 2, 256, 256))
def repeat() -> Repeat:
    """The first frame again; needs no weights."""
    return Repeat()


@register_model(parameters=0, input_size=(3, 1, 64, 64))
def bicubic(scale: int = 4) -> Bicubic:
    """Bicubic enlargement as MATLAB's imresize, x4; needs no weights."""
    return Bicubic(scale)


@register_model(parameters=0, input_size=(3, 1, 256, 256))
def identity() -> Identity:
    """The input unchanged; needs no weights."""
    return Identity()
