"""Running a network on frames of any size, as the tools for real videos do: padded inside, cropped after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.errors import InputError

#: An interpolation network's frames lie at quarters.
_QUARTERS = 4


class Runner:
    """A network on a device.

    Args:
        model: an interpolation, super-resolution or denoising network in evaluation mode.
        device: where it runs.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model, self.device = model.eval().to(device), device
        self.before = int(getattr(model, "frames_before", 0))
        self.after = int(getattr(model, "frames_after", 0))
        self.scale = int(getattr(model, "scale", 1))

    def _forward(self, frames: Tensor, *arguments: object) -> Tensor:
        """``(N, 3, T, h, w)`` through the network, padded with copies of the edge and cropped again."""
        multiple = int(getattr(self.model, "size_multiple", 1))
        height, width = frames.shape[-2:]
        bottom, right = -height % multiple, -width % multiple
        if bottom or right:
            frames = F.pad(frames, (0, right, 0, bottom, 0, 0), mode="replicate")
        output = self.model(frames.to(self.device), *arguments).float().cpu()
        return output[..., : height * self.scale, : width * self.scale]

    def interpolate(self, first: Tensor, second: Tensor, places: Sequence[Fraction]) -> dict[Fraction, Tensor]:
        """New frames between two.

        Args:
            first: ``(3, H, W)`` in [0, 1].
            second: the same shape.
            places: where the new frames lie, in (0, 1), with a power of two as denominator. Quarters come
                from the network at once; finer places are made between its own frames.

        Returns:
            A frame ``(3, H, W)`` for each place.

        Raises:
            InputError: a place that halving does not reach.
        """
        for place in places:
            if place.denominator & (place.denominator - 1):
                raise InputError(f"no frame can be made at {place} between two frames: not a multiple of 1/2, 1/4, ...")
        ends = {n for place in places for n in (math.floor(place * _QUARTERS), math.ceil(place * _QUARTERS))}
        indices = sorted(ends - {0, _QUARTERS})
        made = self._forward(torch.stack([first, second], dim=1)[None], indices)[0].unbind(1)
        grid = {0: first, _QUARTERS: second, **dict(zip(indices, made, strict=True))}
        frames = {}
        for place in places:
            quarter, rest = divmod(place * _QUARTERS, 1)
            frames[place] = grid[quarter] if rest == 0 else self._finer(grid, quarter, rest)
        return frames

    def _finer(self, grid: dict[int, Tensor], quarter: int, rest: Fraction) -> Tensor:
        return self.interpolate(grid[quarter], grid[quarter + 1], [rest])[rest]

    def restore(self, frames: Tensor, sigma: float) -> Tensor:
        """One frame from a window of ``before + 1 + after``.

        Args:
            frames: ``(3, before + 1 + after, h, w)``.
            sigma: noise level in units of 8-bit values, for a network with ``takes_sigma``.

        Returns:
            ``(3, scale * h, scale * w)``.
        """
        takes_sigma = getattr(self.model, "takes_sigma", False)
        arguments = (torch.full((1,), sigma / 255, device=self.device),) if takes_sigma else ()
        output = self._forward(frames[None], *arguments)[0]
        return output[:, 0 if output.shape[1] == 1 else self.before]
