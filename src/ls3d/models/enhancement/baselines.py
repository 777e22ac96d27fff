"""Baselines without weights: what any network has to beat, behind the same contracts as the networks.

``repeat`` and ``blend`` interpolate (``forward(frames (N, 3, 2, H, W), indices)``, see ``vfi``);
``bicubic`` enlarges and ``identity`` denoises (``(N, 3, T, h, w)`` to ``(N, 3, T, H, W)``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ls3d.models.enhancement.vfi import OUTPUT_FRAMES
from ls3d.models.registry import register_model
from ls3d.nn.resize import imresize


class Blend(nn.Module):
    """Mix the two frames linearly in time: the frame at t is ``(1 - t) * first + t * second``."""

    size_multiple = 1

    def forward(self, frames: Tensor, indices: Sequence[int] | None = None) -> Tensor:
        """Map ``(N, 3, 2, H, W)`` to ``(N, 3, 5, H, W)``, or to the output frames ``indices``."""
        wanted = range(OUTPUT_FRAMES) if indices is None else indices
        last = OUTPUT_FRAMES - 1
        first, second = frames.unbind(2)
        return torch.stack([(first * (last - i) + second * i) / last for i in wanted], dim=2)


class Repeat(nn.Module):
    """Show the first frame until the second is due."""

    size_multiple = 1

    def forward(self, frames: Tensor, indices: Sequence[int] | None = None) -> Tensor:
        """Map ``(N, 3, 2, H, W)`` to ``(N, 3, 5, H, W)``, or to the output frames ``indices``."""
        wanted = range(OUTPUT_FRAMES) if indices is None else indices
        return frames[:, :, [int(i == OUTPUT_FRAMES - 1) for i in wanted]]


class Bicubic(nn.Module):
    """Enlarge every frame as MATLAB's ``imresize`` does.

    Args:
        scale: how many times larger.
    """

    frames_before = frames_after = 0
    size_multiple = 1

    def __init__(self, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, frames: Tensor) -> Tensor:
        """Map ``(N, 3, T, h, w)`` to ``(N, 3, T, scale * h, scale * w)``."""
        return imresize(frames, self.scale)


class Identity(nn.Module):
    """Leave the noise in: the score of the input itself."""

    frames_before = frames_after = 0
    size_multiple = 1
    scale = 1

    def forward(self, frames: Tensor) -> Tensor:
        """Return ``frames``."""
        return frames


@register_model("interpolation", parameters=0, input_size=(3, 2, 256, 256))
def blend() -> Blend:
    """Linear mix of the two frames; needs no weights."""
    return Blend()


@register_model("interpolation", parameters=0, input_size=(3, 2, 256, 256))
def repeat() -> Repeat:
    """The first frame again; needs no weights."""
    return Repeat()


@register_model("super-resolution", parameters=0, input_size=(3, 1, 64, 64))
def bicubic(scale: int = 4) -> Bicubic:
    """Bicubic enlargement as MATLAB's imresize, x4; needs no weights."""
    return Bicubic(scale)


@register_model("denoising", parameters=0, input_size=(3, 1, 256, 256))
def identity() -> Identity:
    """The input unchanged; needs no weights."""
    return Identity()
