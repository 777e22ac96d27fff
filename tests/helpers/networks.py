"""Networks for tests of what runs networks: each records or computes something that a test can check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ls3d.models import EnhancementTraits, InterpolationNetwork, Network, RestorationNetwork, create_model

Net = TypeVar("Net", bound=Network)

INTERPOLATION = EnhancementTraits.interpolation(size_multiple=1, times="quarters", value_range=(0.0, 1.0))
DENOISING = replace(INTERPOLATION, task="denoising", frames_after=0, times=None)


def create(kind: type[Net], name: str, **arguments: Any) -> Net:
    """Call ``create_model`` and check the class of the network."""
    model = create_model(name, **arguments)
    assert isinstance(model, kind)
    return model


class RecordingBlend(InterpolationNetwork):
    """Blends two frames, and records the times of every call.

    Args:
        traits: to replace in ``INTERPOLATION``.
    """

    def __init__(self, **traits: Any) -> None:
        super().__init__()
        self.traits = replace(INTERPOLATION, **traits)
        self.calls: list[tuple[float, ...]] = []

    def forward(self, frames: Tensor, times: Sequence[float] | None = None) -> Tensor:
        """Check size and range of the frames, and blend them."""
        multiple = self.traits.size_multiple
        low, high = self.traits.value_range
        assert times is not None
        assert frames.shape[-1] % multiple == frames.shape[-2] % multiple == 0
        assert low <= float(frames.min()) <= float(frames.max()) <= high
        assert not torch.is_grad_enabled()
        self.calls.append(tuple(times))
        first, second = frames.unbind(2)
        return torch.stack([first + (second - first) * time for time in times], dim=2)


class RecordingDenoiser(RestorationNetwork):
    """Returns the frames as they are, and records the noise level of every sample."""

    traits = replace(DENOISING, takes_sigma=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__()
        self.traits = replace(self.traits, **traits)
        self.levels: list[float] = []

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Record ``sigma``."""
        assert sigma is not None
        self.levels.extend(float(level) for level in sigma)
        return frames


class RecordingWindow(RestorationNetwork):
    """Returns the middle frame, and records the mean of every frame of a window, in [0, 255]."""

    traits = replace(DENOISING, frames_before=2, frames_after=1)

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[list[int]] = []

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Record the means."""
        self.windows.append([round(255 * float(mean)) for mean in frames.mean((0, 1, 3, 4))])
        return frames[:, :, 2:3]


class Mean(RestorationNetwork):
    """The mean of three frames. Counts its calls and raises KeyboardInterrupt on one of them.

    Args:
        breaks_at: the call that raises, from 1.
    """

    traits = replace(DENOISING, frames_before=1, frames_after=1)

    def __init__(self, breaks_at: int | None = None) -> None:
        super().__init__()
        self.breaks_at = breaks_at
        self.calls = 0

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Average over time."""
        self.calls += 1
        if self.calls == self.breaks_at:
            raise KeyboardInterrupt
        return frames.mean(2, keepdim=True)


class Doubling(RestorationNetwork):
    """A weighted sum of four frames, which depends on their order; every pixel becomes 2 x 2."""

    traits = replace(DENOISING, task="super-resolution", scale=2, frames_before=2, frames_after=1)
    weights = (0.125, 0.25, 0.5, 0.125)

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Add up and enlarge."""
        mixed = sum(weight * frames[:, :, n : n + 1] for n, weight in enumerate(self.weights))
        assert isinstance(mixed, Tensor)
        return mixed.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)


class NotANumber(RestorationNetwork):
    """Returns NaN for frames whose mean is above a level.

    Args:
        level: in [0, 1].
    """

    traits = DENOISING

    def __init__(self, level: float = -1.0) -> None:
        super().__init__()
        self.level = level

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Spoil one value."""
        output = frames.clone()
        if float(frames.mean()) > self.level:
            output[..., 0, 0] = torch.nan
        return output
