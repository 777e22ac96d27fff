"""One object that runs an enhancement network, whatever the size of the frames and whoever asks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.inference.device import resolve_device
from ls3d.inference.memory import largest_tile
from ls3d.inference.tiling import SMALLEST_TILE, Tiler
from ls3d.models.network import EnhancementNetwork

Precision = Literal["float32", "bfloat16", "float16"]

#: Networks that make quarters are run again between their own frames; finer than this, times are rounded.
_FINEST = 16
_QUARTERS = 4
_MEASURED_SIDE = 128  # height and width of the frame on which memory is measured
_BASE_MEMORY = 700 << 20  # bytes that Python, torch and the codecs take


class NonFiniteOutputError(InputError):
    """A network returned NaN or infinity: damaged weights, or a precision with too small a range."""


class Enhancer:
    """Runs a network on batches of frames: device, precision, padding, tiles, any time between two frames.

    Frames go in and come out with values in [0, 1], whatever the network's own value range; the output is float32, on
    the network's device and not clamped.

    Args:
        network: an enhancement network; it is moved to the device and set to evaluation mode.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        precision: other than float32 runs under autocast.
        tile: largest side of a tile in source pixels; None runs on whole frames. When memory runs out, it is halved.

    Raises:
        InputError: there is no such device or precision.
    """

    def __init__(
        self,
        network: EnhancementNetwork,
        device: str | torch.device = "auto",
        precision: Precision = "float32",
        tile: int | None = None,
    ) -> None:
        if precision not in get_args(Precision):
            raise InputError(f"{precision}: expected {', '.join(get_args(Precision))}", argument="precision")
        self.device = resolve_device(device)
        self.network = network.eval().to(self.device)
        self.traits = network.traits
        self.precision = precision
        self.tiler = Tiler(multiple=self.traits.size_multiple, scale=self.traits.scale, tile=tile)

    @torch.inference_mode()
    def interpolate(self, frames: Tensor, times: Sequence[Fraction]) -> Tensor:
        """Make new frames between two.

        Args:
            frames: ``(N, 3, 2, H, W)``.
            times: in (0, 1); each must be one that ``nearest_time`` returns.

        Returns:
            ``(N, 3, len(times), H, W)``.

        Raises:
            ValueError: the network can't make a frame at one of the times.
            NonFiniteOutputError: the network returned NaN or infinity.
        """
        frames = frames.to(self.device)
        if self.traits.times == "any":
            return self._run(frames, [float(time) for time in times])
        for time in times:
            if time != self.nearest_time(time):
                raise ValueError(f"no frame can be made at {time}: not a multiple of 1/{_FINEST}")
        made = self._halve(frames, times)
        return torch.stack([made[time] for time in times], dim=2)

    def nearest_time(self, time: Fraction) -> Fraction:
        """The time closest to ``time`` at which a frame can be made: itself if the network makes any."""
        return time if self.traits.times == "any" else Fraction(round(time * _FINEST), _FINEST)

    @torch.inference_mode()
    def restore(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Restore one frame from a window.

        Args:
            frames: ``(N, 3, frames_before + 1 + frames_after, h, w)``.
            sigma: ``(N,)``, standard deviation of the noise in units of [0, 1]; ignored by networks that take none.

        Returns:
            ``(N, 3, scale * h, scale * w)``.

        Raises:
            NonFiniteOutputError: the network returned NaN or infinity.
        """
        output = self.restore_window(frames, sigma)
        return output[:, :, 0 if output.shape[2] == 1 else self.traits.frames_before]

    @torch.inference_mode()
    def restore_window(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Restore every frame that the network returns: all of the window, or only the middle one.

        Arguments and errors are those of ``restore``.

        Returns:
            ``(N, 3, T, scale * h, scale * w)`` or ``(N, 3, 1, scale * h, scale * w)``.
        """
        arguments = []
        if self.traits.takes_sigma:
            if sigma is None:
                raise ValueError("sigma is None, but the network takes a noise level")
            low, high = self.traits.value_range
            arguments = [sigma.to(self.device) * (high - low)]
        return self._run(frames.to(self.device), *arguments)

    def fit_memory(self, limit: int) -> int:
        """Choose tiles such that the process stays within ``limit`` bytes of main memory; their side in pixels.

        The network's appetite is measured on a small frame.

        Raises:
            InputError: the limit is too low for the smallest tiles.
        """
        length = 2 if self.traits.times else self.traits.frames_before + 1 + self.traits.frames_after
        sample = torch.zeros(1, 3, length, _MEASURED_SIDE, _MEASURED_SIDE, device=self.device)
        arguments: tuple[Any, ...] = ()
        if self.traits.times:
            arguments = ([0.25, 0.5, 0.75],)
        elif self.traits.takes_sigma:
            arguments = (torch.zeros(1, device=self.device),)
        with torch.inference_mode():
            side = largest_tile(lambda part: self._run(part, *arguments), sample, max(limit - _BASE_MEMORY, 0))
        if side < SMALLEST_TILE:
            raise InputError(
                f"{limit >> 20} MiB is too little for the smallest tiles, {SMALLEST_TILE} pixels", argument="max_memory"
            )
        self.tiler.tile = min(side, self.tiler.tile or side)
        return self.tiler.tile

    def _run(self, frames: Tensor, *arguments: Any) -> Tensor:
        low, high = self.traits.value_range

        def forward(part: Tensor) -> Tensor:
            with self._autocast():
                output: Tensor = self.network(part * (high - low) + low, *arguments).float()
            return (output - low) / (high - low)

        def forward_unscaled(part: Tensor) -> Tensor:
            with self._autocast():
                output: Tensor = self.network(part, *arguments).float()
            return output

        output = self.tiler(forward_unscaled if (low, high) == (0, 1) else forward, frames)
        if not bool(output.isfinite().all()):
            raise NonFiniteOutputError(
                f"{self.network.name} returned NaN or infinity in {self.precision}; "
                "its weights may be damaged, or need precision float32"
            )
        return output

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.precision))

    def _halve(self, frames: Tensor, times: Sequence[Fraction]) -> dict[Fraction, Tensor]:
        """Frames ``(N, 3, H, W)`` by time; a network that makes quarters is run again between its own frames."""
        ends = {n for time in times for n in (math.floor(time * _QUARTERS), math.ceil(time * _QUARTERS))}
        indices = sorted(ends - {0, _QUARTERS})
        new = self._run(frames, [index / _QUARTERS for index in indices]).unbind(2)
        first, second = frames.unbind(2)
        grid = {0: first, _QUARTERS: second, **dict(zip(indices, new, strict=True))}
        made = {Fraction(n, _QUARTERS): grid[n] for n in indices}
        for n in range(_QUARTERS):
            inner = [time * _QUARTERS - n for time in times if n < time * _QUARTERS < n + 1]
            if inner:
                finer = self._halve(torch.stack([grid[n], grid[n + 1]], dim=2), inner)
                made.update({(time + n) / _QUARTERS: frame for time, frame in finer.items()})
        return made
