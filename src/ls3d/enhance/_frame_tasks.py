"""What is done to a video: a window of source frames in, output frames out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ls3d.enhance._arguments import NoiseLevel
from ls3d.enhance._windows import Window
from ls3d.inference import Enhancer, NetworkOutputError, estimate_sigma
from ls3d.nn.resize import imresize
from ls3d.video import Frame, same_pixels, to_rgb
from ls3d.video.color import Color
from ls3d.video.pixels import Plane

_MADE_AT_ONCE = 8  # new frames in one call of a network, which are in memory together


@dataclass(frozen=True)
class Output:
    """An output frame.

    Attributes:
        pts: its time in the output, in ticks.
        pixels: a source frame that passes through, or ``(3, H, W)`` R'G'B'.
        alpha: transparency of ``pixels`` that is a tensor: ``(H, W)`` in [0, 1], or the samples of a source frame; None
            if there is none. A source frame has its own.
        held: whether it repeats a source frame because no new frame could be made at its time.
    """

    pts: int
    pixels: Frame | Tensor
    held: bool = False
    alpha: Tensor | Plane | None = None


class FrameTask(Protocol):
    """Makes the output frames of a window."""

    def outputs(self, window: Window) -> Iterator[Output]:
        """One output frame for each of ``window.slots``, in order."""
        ...


class FrameTensors:
    """Source frames as tensors, each converted once while it is in use.

    Args:
        color: of the source.
        device: where the tensors are.
        has_alpha: whether the alpha of frames is used.
    """

    def __init__(self, color: Color, device: torch.device, has_alpha: bool = False) -> None:
        self._color = color
        self._has_alpha = has_alpha
        self._device = device
        self._tensors: dict[Fraction, Tensor] = {}

    def __call__(self, frames: Sequence[Frame]) -> Tensor:
        """Convert frames to ``(1, 3, T, H, W)``; those of the previous call are reused."""
        known = self._tensors
        self._tensors = {}
        for frame in frames:
            if frame.time not in self._tensors:
                self._tensors[frame.time] = known[frame.time] if frame.time in known else self._convert(frame)
        return torch.stack([self._tensors[frame.time] for frame in frames], dim=1)[None]

    def same(self, first: Frame, second: Frame) -> bool:
        """Whether two frames are identical."""
        return same_pixels(first.picture, second.picture) and _same(self.alpha(first), self.alpha(second))

    def alpha(self, frame: Frame) -> Plane | None:
        """The alpha plane of a frame; None if alpha isn't used."""
        return frame.alpha if self._has_alpha else None

    def gray(self, planes: Sequence[Plane]) -> Tensor:
        """Alpha planes as gray pictures, ``(1, 3, T, H, W)`` in [0, 1]."""
        highest = np.float32(2**self._color.layout.depth - 1)
        values = torch.from_numpy(np.stack([plane.astype(np.float32) / highest for plane in planes]))
        return values.to(self._device).expand(1, 3, -1, -1, -1)

    def _convert(self, frame: Frame) -> Tensor:
        return to_rgb(frame.picture, self._color, self._device)


class Interpolate:
    """New frames between the source's, which pass through unchanged.

    Nothing is interpolated across a cut, after the last frame, or between identical frames: the previous frame is held.

    Args:
        enhancer: runs an interpolation network.
        tensors: converts source frames.
    """

    def __init__(self, enhancer: Enhancer, tensors: FrameTensors) -> None:
        self._enhancer = enhancer
        self._tensors = tensors

    def outputs(self, window: Window) -> Iterator[Output]:
        """See ``FrameTask``."""
        slots = [(slot.pts, self._enhancer.nearest_time(slot.position)) for slot in window.slots]
        if not window.after or self._tensors.same(window.frame, window.after[0]):
            yield from (Output(pts, window.frame, held=time != 0) for pts, time in slots)
            return
        pair = (window.frame, window.after[0])
        times = sorted({time for _, time in slots if 0 < time < 1})
        at_once = _MADE_AT_ONCE if self._enhancer.traits.times == "any" else max(1, len(times))
        made: dict[Fraction, Tensor] = {}
        alpha: dict[Fraction, Tensor | Plane | None] = {}
        for pts, time in slots:
            if time in (0, 1):
                yield Output(pts, pair[int(time)])
                continue
            if time not in made:
                begin = times.index(time)
                made = self._make(self._tensors(pair), times[begin : begin + at_once])
                alpha = self._make_alpha(pair, times[begin : begin + at_once])
            yield Output(pts, made[time], alpha=alpha[time])

    def _make(self, pair: Tensor, times: Sequence[Fraction]) -> dict[Fraction, Tensor]:
        made = self._enhancer.interpolate(pair, times)[0].unbind(1)
        return dict(zip(times, made, strict=True))

    def _make_alpha(self, pair: Sequence[Frame], times: Sequence[Fraction]) -> dict[Fraction, Tensor | Plane | None]:
        """The alpha of new frames: interpolated by the network as gray pictures, unless both frames have the same."""
        first, second = (self._tensors.alpha(frame) for frame in pair)
        if first is None or second is None or _same(first, second):
            return dict.fromkeys(times, first)
        made = self._make(self._tensors.gray([first, second]), times)
        return {time: gray.mean(0) for time, gray in made.items()}


class Restore:
    """One output frame for each source frame: super-resolution and denoising.

    Args:
        enhancer: runs a restoration network.
        tensors: converts source frames.
        size: height and width of the output; where the network's differ, its whole frames are resized.
        sigma: noise level for networks that take one, otherwise None.
    """

    def __init__(
        self, enhancer: Enhancer, tensors: FrameTensors, size: tuple[int, int], sigma: NoiseLevel | None = None
    ) -> None:
        self._enhancer = enhancer
        self._tensors = tensors
        self._size = size
        self._sigma = sigma

    def outputs(self, window: Window) -> Iterator[Output]:
        """See ``FrameTask``; at the ends of a shot, its first or last frame is repeated."""
        traits = self._enhancer.traits
        frames = [*window.before, window.frame, *window.after]
        missing_before = traits.frames_before - len(window.before)
        missing_after = traits.frames_after - len(window.after)
        padded = self._tensors(frames[:1] * missing_before + frames + frames[-1:] * missing_after)
        sigma = None if self._sigma is None else self._measure(padded[0, :, traits.frames_before])
        restored = _resized(self._enhancer.restore(padded, sigma)[0], self._size)
        alpha = self._resized_alpha(window.frame)
        for slot in window.slots:
            yield Output(slot.pts, restored, alpha=alpha)

    def _resized_alpha(self, frame: Frame) -> Tensor | Plane | None:
        """The frame's alpha in the size of the output: its own samples if that is the source's."""
        alpha = self._tensors.alpha(frame)
        if alpha is None or alpha.shape == self._size:
            return alpha
        return _resized(self._tensors.gray([alpha])[0, :1, 0], self._size)[0]

    def _measure(self, frame: Tensor) -> Tensor:
        """The noise level in units of [0, 1], ``(1,)``."""
        sigma = estimate_sigma(frame) if self._sigma == "auto" else float(self._sigma or 0) / 255
        return torch.full((1,), sigma, device=frame.device)


def _same(first: Plane | None, second: Plane | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)


def _resized(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize ``(C, H, W)`` to a height and a width; the frame itself if it has these."""
    height, width = frame.shape[-2:]
    if (height, width) == size:
        return frame
    return imresize(frame, (Fraction(size[0], height), Fraction(size[1], width)))


def make_outputs(task: FrameTask, window: Window) -> Iterator[Output]:
    """The output frames of a window, each when it is asked for.

    Raises:
        NetworkOutputError: the network returned something else than its traits promise; the message names the frame.
    """
    try:
        yield from task.outputs(window)
    except NetworkOutputError as error:
        raise type(error)(f"the frame at {float(window.frame.time):.3f} s: {error}") from error
