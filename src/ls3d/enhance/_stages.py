"""What is done to a video: a window of source frames in, output frames out.

A stage says how many frames it needs before and after the one it works on; the engine gives it windows that
never reach across a cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
import torch
from torch import Tensor

from ls3d.enhance._timeline import Timeline
from ls3d.errors import InputError
from ls3d.inference import Enhancer, estimate_sigma
from ls3d.models.network import EnhancementNetwork
from ls3d.video import Frame, same_pixels, to_rgb
from ls3d.video.color import Color


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

    Nothing is interpolated across a cut, after the last frame, or between identical frames: the frame before is held.

    Args:
        enhancer: runs an interpolation network.
        pictures: converts source frames.
        timeline: when output frames are shown.
    """

    before, after, scale = 0, 1, 1

    def __init__(self, enhancer: Enhancer, pictures: Pictures, timeline: Timeline) -> None:
        self.enhancer, self.pictures, self.timeline = enhancer, pictures, timeline

    def outputs(self, window: Window) -> Iterator[Output]:
        """See ``Stage``."""
        frame = window.frame
        places = [
            (time, self.enhancer.nearest_time(place)) for time, place in self.timeline.between(frame.time, window.until)
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
        made = self.enhancer.interpolate(self.pictures(pair), places)[0].unbind(1)
        return dict(zip(places, made, strict=True))


class Restoration:
    """One frame out for each frame in: super-resolution and denoising.

    Args:
        enhancer: runs a network that maps ``(N, 3, T, h, w)`` to ``(N, 3, T', H, W)`` with T' = T, or 1 for the
            middle frame.
        pictures: converts source frames.
        timeline: when output frames are shown.
        sigma: noise level in [0, 255] for networks that want one, ``"auto"`` to measure it, None for the
            others.
    """

    def __init__(
        self, enhancer: Enhancer, pictures: Pictures, timeline: Timeline, sigma: float | str | None = None
    ) -> None:
        self.enhancer, self.pictures, self.timeline, self.sigma = enhancer, pictures, timeline, sigma
        self.before = enhancer.traits.frames_before
        self.after = enhancer.traits.frames_after
        self.scale = enhancer.traits.scale

    def outputs(self, window: Window) -> Iterator[Output]:
        """See ``Stage``; where the shot is too short, its first and last frames are repeated."""
        before = [*window.before[-self.before :]] if self.before else []
        after = [*window.after[: self.after]]
        frames = [*before, window.frame, *after]
        frames = frames[:1] * (self.before - len(before)) + frames + frames[-1:] * (self.after - len(after))
        restored = self._restore(self.pictures(frames))
        yield Output(window.frame.time, restored)

    def _restore(self, frames: Tensor) -> Tensor:
        return self.enhancer.restore(frames, None if self.sigma is None else self._noise(frames))[0]

    def _noise(self, frames: Tensor) -> Tensor:
        sigma = estimate_sigma(frames[0, :, self.before]) if self.sigma == "auto" else float(self.sigma or 0) / 255
        return torch.full((1,), sigma, device=frames.device)


def check_sigma(model: EnhancementNetwork, sigma: float | str | None, name: str) -> float | str | None:
    """The noise level that a denoising network is to be told: None for one that takes none.

    A network that wants it has ``traits.takes_sigma`` and ``forward(frames, sigma)`` with ``sigma (N,)`` in
    units of the range [0, 1].

    Raises:
        InputError: a level for a network that takes none, or one out of range.
    """
    if not model.traits.takes_sigma:
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
