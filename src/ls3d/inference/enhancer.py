"""The object that runs an enhancement network on frames of any size, at any time between two frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.inference.device import Precision, autocast, resolve_device, resolve_precision
from ls3d.inference.memory import largest_tile, peak_bytes, peak_growth
from ls3d.inference.tiling import SMALLEST_TILE, Tiler
from ls3d.models.network import EnhancementNetwork, InterpolationNetwork

#: Networks that make frames at quarters only are run again between these frames; times are rounded to this grid.
_FINEST = 16
_QUARTERS = 4

_SAMPLE_SIDE = 128  # height and width of the frames on which memory is measured
_BASE_MEMORY = 700 << 20  # bytes that Python, torch and the codecs need


class NetworkOutputError(InputError):
    """What a network returned is not what its traits promise."""


class NonFiniteOutputError(NetworkOutputError):
    """A network returned NaN or infinity: its weights are damaged, or the precision's range is too small for it."""


class Enhancer:
    """Runs an enhancement network: device, precision, value range, padding, tiles, times between two frames.

    Frames go in and come out with values in [0, 1], whatever the network's own value range. The output is float32, on
    the network's device and not clamped. Whatever a network returns is checked: its type, shape and values.

    Args:
        network: is moved to the device, converted to float32 and set to evaluation mode.
        device: ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
        precision: the half-precision types run under autocast; ``"auto"`` is bfloat16 on CPUs that compute in it,
            otherwise float32.
        tile: maximum side of a tile in source pixels; None runs on whole frames. Halved when memory runs out.

    Attributes:
        network: the network.
        traits: its traits.
        device: where it is.
        precision: as given, for ``"auto"`` what was chosen.
        tiler: pads frames and divides them into tiles.

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
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self.network = network.eval().to(self.device, torch.float32)
        self.traits = network.traits
        self.tiler = Tiler(multiple=self.traits.size_multiple, scale=self.traits.scale, tile=tile)

    @torch.inference_mode()
    def interpolate(self, frames: Tensor, times: Sequence[Fraction]) -> Tensor:
        """Make new frames between two.

        Args:
            frames: ``(N, 3, 2, H, W)``.
            times: in (0, 1), at least one; each must be one that ``nearest_time`` returns.

        Returns:
            ``(N, 3, len(times), H, W)``.

        Raises:
            ValueError: the network can't make a frame at one of the times.
            NetworkOutputError: the network returned something else, such as another shape, NaN or infinity.
        """
        for time in times:
            if not 0 < time < 1 or time != self.nearest_time(time):
                raise ValueError(f"no frame can be made at {time}: expected a time in (0, 1) from nearest_time")
        frames = frames.to(self.device, torch.float32)
        if self.traits.times == "any":
            return self._run(frames, [float(time) for time in times])
        made = self._bisect(frames, times)
        return torch.stack([made[time] for time in times], dim=2)

    def nearest_time(self, time: Fraction) -> Fraction:
        """The time closest to ``time`` at which a frame can be made: itself for networks that make any."""
        return time if self.traits.times == "any" else Fraction(round(time * _FINEST), _FINEST)

    @torch.inference_mode()
    def restore(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Restore one frame of a window.

        Args:
            frames: ``(N, 3, frames_before + 1 + frames_after, h, w)``.
            sigma: ``(N,)``, standard deviation of the noise in units of [0, 1]; ignored by networks that take none.

        Returns:
            ``(N, 3, scale * h, scale * w)``.

        Raises:
            ValueError: the network takes a noise level, and ``sigma`` is None.
            NetworkOutputError: the network returned something else, such as another shape, NaN or infinity.
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
            arguments = [sigma.to(self.device, torch.float32) * (high - low)]
        return self._run(frames.to(self.device, torch.float32), *arguments)

    @torch.inference_mode()
    def fit_memory(self, limit: int, reserved: int = 0) -> int:
        """Limit tiles to a size with which the process needs at most ``limit`` bytes of main memory.

        The memory that the network needs per pixel is measured on a small frame: that of torch's tensors, or of the
        process where another runtime computes.

        Args:
            limit: for the whole process.
            reserved: bytes that are needed for something else, such as decoded frames.

        Returns:
            The maximum side of a tile.

        Raises:
            InputError: the limit is too low for the smallest tiles, or the memory can't be measured on this system.
        """
        length = 2 if self.traits.times else self.traits.frames_before + 1 + self.traits.frames_after
        sample = torch.zeros(1, 3, length, _SAMPLE_SIDE, _SAMPLE_SIDE, device=self.device)
        arguments: tuple[Any, ...] = ()
        if isinstance(self.network, InterpolationNetwork):
            arguments = (self.network.fixed_times or (0.25, 0.5, 0.75),)
        elif self.traits.takes_sigma:
            arguments = (torch.zeros(1, device=self.device),)
        measure = peak_bytes if self.network.runs_in_torch else peak_growth
        budget = max(limit - reserved - _BASE_MEMORY, 0)
        side = largest_tile(lambda part: self._run(part, *arguments), sample, budget, measure)
        if side < SMALLEST_TILE:
            message = f"{limit >> 20} MiB: too little for the smallest tiles, {SMALLEST_TILE} pixels"
            if reserved:
                message += f", besides {reserved >> 20} MiB for frames and {_BASE_MEMORY >> 20} MiB for the program"
            raise InputError(message, argument="max_memory")
        self.tiler.tile = min(side, self.tiler.tile or side)
        return self.tiler.tile

    def _run(self, frames: Tensor, *arguments: Any) -> Tensor:
        """Map ``(N, 3, T, H, W)`` to ``(N, 3, T', scale * H, scale * W)``, both in [0, 1]."""
        low, high = self.traits.value_range
        in_unit_range = (low, high) == (0, 1)
        output = self.tiler(
            lambda part: self._forward(part, *arguments), frames if in_unit_range else frames * (high - low) + low
        )
        if not bool(output.isfinite().all()):
            raise NonFiniteOutputError(
                f"{self.network.name} returned NaN or infinity in {self.precision}; "
                "its weights may be damaged, or need precision float32"
            )
        return output if in_unit_range else (output - low) / (high - low)

    def _forward(self, frames: Tensor, *arguments: Any) -> Tensor:
        with autocast(self.device, self.precision):
            output: object = self.network(frames, *arguments)
        return self._checked(output, frames, arguments)

    def _checked(self, output: object, frames: Tensor, arguments: Sequence[Any]) -> Tensor:
        """The output as float32, if it has the type and shape that the traits promise for these arguments."""
        if not isinstance(output, Tensor) or not output.is_floating_point():
            found = f"a tensor of {output.dtype}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise NetworkOutputError(f"{self.network.name} returned {found}; expected a tensor of floating point")
        batch, _, length, height, width = frames.shape
        lengths = (len(arguments[0]),) if self.traits.times else tuple({1, length})
        size = (height * self.traits.scale, width * self.traits.scale)
        shapes = [(batch, 3, each, *size) for each in lengths]
        if tuple(output.shape) not in shapes:
            expected = " or ".join(map(str, shapes))
            raise NetworkOutputError(
                f"{self.network.name} returned a tensor of shape {tuple(output.shape)} for frames of shape "
                f"{tuple(frames.shape)}; expected {expected}"
            )
        return output.float()

    def _bisect(self, frames: Tensor, times: Sequence[Fraction]) -> dict[Fraction, Tensor]:
        """Frames ``(N, 3, H, W)`` by time, from a network that makes quarters and is run again between these."""
        ends = {n for time in times for n in (math.floor(time * _QUARTERS), math.ceil(time * _QUARTERS))}
        indices = sorted(ends - {0, _QUARTERS})
        new = self._run(frames, [index / _QUARTERS for index in indices]).unbind(2)
        first, second = frames.unbind(2)
        grid = {0: first, _QUARTERS: second, **dict(zip(indices, new, strict=True))}
        made = {Fraction(n, _QUARTERS): grid[n] for n in indices}
        for n in range(_QUARTERS):
            inner = [time * _QUARTERS - n for time in times if n < time * _QUARTERS < n + 1]
            if inner:
                finer = self._bisect(torch.stack([grid[n], grid[n + 1]], dim=2), inner)
                made.update({(time + n) / _QUARTERS: frame for time, frame in finer.items()})
        return made
