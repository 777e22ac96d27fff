"""What is done to a video: a window of source frames in, output frames out.

A stage says how many frames it needs before and after the one it works on; the engine gives it windows that
never reach across a cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import av
import torch
from torch import Tensor, nn

from ls3d.enhance._timeline import Timeline
from ls3d.errors import InputError
from ls3d.inference.noise import estimate_sigma
from ls3d.inference.tiling import Tiler
from ls3d.video import Frame, same_pixels, to_rgb
from ls3d.video.color import Color

#: Output frames of an interpolation network lie at quarters.
_QUARTERS = 4


@dataclass(frozen=True)
class Window:
    """A source frame with its neighbors in the same shot.

    Attributes:
        before: frames before it, in order; fewer where the shot begins.
        frame: the frame.
        after: frames after it, in order; fewer where the shot ends.
        until: when the frame gives way to the next one, be it of another shot.
    """

    before: Sequence[Frame]
    frame: Frame
    after: Sequence[Frame]
    until: Fraction


@dataclass(frozen=True)
class Output:
    """An output frame.

    Attributes:
        time: on the source's clock.
        pixels: a source frame's own picture, or ``(3, H, W)`` R'G'B'.
        held: whether it is a source frame in a place where another frame was wanted.
    """

    time: Fraction
    pixels: av.VideoFrame | Tensor
    held: bool = False


class Stage(Protocol):
    """What the engine runs.

    Attributes:
        before: frames wanted before the one worked on.
        after: frames wanted after it.
        scale: how many times larger the output is.
        timeline: when output frames are shown.
    """

    before: int
    after: int
    scale: int
    timeline: Timeline

    def outputs(self, window: Window) -> Iterator[Output]:
        """The output frames from the window's frame up to the next, in order."""
        ...


class Runner:
    """A network on a device, in a precision, on frames of any size.

    Args:
        model: the network.
        device: where it runs.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``; other than float32 runs under autocast.
        tiler: pads, crops and cuts into tiles.
    """

    def __init__(self, model: nn.Module, device: torch.device, precision: str, tiler: Tiler) -> None:
        self.model, self.device, self.tiler = model.eval().to(device), device, tiler
        self.precision = precision

    def __call__(self, frames: Tensor, *arguments: Any) -> Tensor:
        """Map ``(N, 3, T, H, W)`` to ``(N, 3, T', scale * H, scale * W)`` float32."""

        def forward(part: Tensor) -> Tensor:
            with self._autocast():
                return self.model(part, *arguments).float()

        return self.tiler(forward, frames)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.precision))


class Pictures:
    """Source frames as tensors, each converted once while it is in use."""

    def __init__(self, color: Color, device: torch.device) -> None:
        self._color, self._device = color, device
        self._tensors: dict[Fraction, Tensor] = {}

    def __call__(self, frames: Sequence[Frame]) -> Tensor:
        """Frames as ``(1, 3, T, H, W)``; those of the call before are at hand."""
        kept = {frame.time: self._tensors.get(frame.time) for frame in frames}
        self._tensors = {
            frame.time: self._convert(frame) if (tensor := kept[frame.time]) is None else tensor for frame in frames
        }
        return torch.stack([self._tensors[frame.time] for frame in frames], dim=1)[None]

    def _convert(self, frame: Frame) -> Tensor:
        return to_rgb(frame.picture, self._color, self._device)


class Interpolation:
    """New frames between the source's, which pass through untouched.

    A network gives frames at quarters. Other places are reached by asking it again between two of its own
    frames; each place is rounded to the nearest multiple of ``grid``. Nothing is interpolated across a cut,
    after the last frame, or between identical frames: the frame before is shown on.

    Args:
        runner: an interpolation network.
        pictures: converts source frames.
        timeline: when output frames are shown.
        grid: places between two frames are rounded to multiples of 1 / grid.
    """

    before, after, scale = 0, 1, 1

    def __init__(self, runner: Runner, pictures: Pictures, timeline: Timeline, grid: int = 16) -> None:
        self.runner, self.pictures, self.timeline, self.grid = runner, pictures, timeline, grid

    def outputs(self, window: Window) -> Iterator[Output]:
        """See ``Stage``."""
        frame = window.frame
        places = [
            (time, Fraction(round(place * self.grid), self.grid))
            for time, place in self.timeline.between(frame.time, window.until)
        ]
        moving = bool(window.after) and not same_pixels(frame.picture, window.after[0].picture)
        wanted = sorted({place for _, place in places if 0 < place < 1}) if moving else []
        made = self._between([frame, window.after[0]], wanted) if wanted else {}
        for time, place in places:
            if place in made:
                yield Output(time, made[place])
            elif place == 1 and moving:
                yield Output(time, window.after[0].picture)
            else:
                yield Output(time, frame.picture, held=place != 0)

    def _between(self, pair: Sequence[Frame], places: Sequence[Fraction]) -> dict[Fraction, Tensor]:
        first, second = self.pictures(pair).unbind(2)
        return {place: image[0] for place, image in self._split(first, second, places).items()}

    def _split(self, first: Tensor, second: Tensor, places: Sequence[Fraction]) -> dict[Fraction, Tensor]:
        """Frames ``(1, 3, H, W)`` at places in (0, 1); the network is asked between its own frames, too."""
        ends = {n for place in places for n in (math.floor(place * _QUARTERS), math.ceil(place * _QUARTERS))}
        indices = sorted(ends - {0, _QUARTERS})
        new = self.runner(torch.stack([first, second], dim=2), indices).unbind(2)
        grid = {0: first, _QUARTERS: second, **dict(zip(indices, new, strict=True))}
        made = {Fraction(n, _QUARTERS): grid[n] for n in indices}
        for n in range(_QUARTERS):
            inner = [place * _QUARTERS - n for place in places if n < place * _QUARTERS < n + 1]
            if inner:
                finer = self._split(grid[n], grid[n + 1], inner)
                made.update({(place + n) / _QUARTERS: image for place, image in finer.items()})
        return {place: made[place] for place in places}


class Restoration:
    """One frame out for each frame in: super-resolution and denoising.

    Args:
        runner: a network that maps ``(N, 3, T, h, w)`` to ``(N, 3, T', H, W)`` with T' = T, or 1 for the
            middle frame.
        pictures: converts source frames.
        timeline: when output frames are shown.
        sigma: noise level in [0, 255] for networks that want one, ``"auto"`` to measure it, None for the
            others.
    """

    def __init__(
        self, runner: Runner, pictures: Pictures, timeline: Timeline, sigma: float | str | None = None
    ) -> None:
        self.runner, self.pictures, self.timeline, self.sigma = runner, pictures, timeline, sigma
        self.before = int(getattr(runner.model, "frames_before", 0))
        self.after = int(getattr(runner.model, "frames_after", 0))
        self.scale = int(getattr(runner.model, "scale", 1))

    def outputs(self, window: Window) -> Iterator[Output]:
        """See ``Stage``; where the shot is too short, its first and last frames are repeated."""
        before = [*window.before[-self.before :]] if self.before else []
        after = [*window.after[: self.after]]
        frames = [*before, window.frame, *after]
        frames = frames[:1] * (self.before - len(before)) + frames + frames[-1:] * (self.after - len(after))
        restored = self._restore(self.pictures(frames))
        yield Output(window.frame.time, restored)

    def _restore(self, frames: Tensor) -> Tensor:
        arguments = () if self.sigma is None else (self._noise(frames),)
        result = self.runner(frames, *arguments)[0]
        return result[:, 0 if result.shape[1] == 1 else self.before]

    def _noise(self, frames: Tensor) -> Tensor:
        sigma = estimate_sigma(frames[0, :, self.before]) if self.sigma == "auto" else float(self.sigma or 0) / 255
        return torch.full((1,), sigma, device=frames.device)


def check_sigma(model: nn.Module, sigma: float | str | None, name: str) -> float | str | None:
    """The noise level that a denoising network is to be told: None for one that takes none.

    A network that wants it has ``takes_sigma = True`` and ``forward(frames, sigma)`` with ``sigma (N,)`` in
    units of the range [0, 1].

    Raises:
        InputError: a level for a network that takes none, or one out of range.
    """
    takes = bool(getattr(model, "takes_sigma", False))
    if not takes:
        if sigma is not None:
            raise InputError(f"--sigma {sigma}: the model {name} takes no noise level")
        return None
    if sigma is None or sigma == "auto":
        return "auto"
    try:
        level = float(sigma)
    except ValueError as error:
        raise InputError(f"--sigma {sigma}: expected a number from 0 to 255, or auto") from error
    if not 0 <= level <= 255:
        raise InputError(f"--sigma {sigma}: expected a number from 0 to 255, or auto")
    return level
