"""What is done to a video: a window of source frames in, output frames out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
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

#: Transparency: the samples of a source frame, or ``(H, W)`` in [0, 1]; None if there is none.
Alpha = Plane | Tensor | None


@dataclass(frozen=True)
class Output:
    """An output frame.

    Attributes:
        pts: its time in the output, in ticks.
        pixels: a source frame that passes through, or ``(3, H, W)`` R'G'B'.
        held: whether it repeats a source frame because no new frame could be made at its time.
        alpha: of ``pixels`` that are a tensor. A source frame has its own.
    """

    pts: int
    pixels: Frame | Tensor
    held: bool = False
    alpha: Alpha = None


class FrameTask(Protocol):
    """Makes the output frames of a window."""

    def outputs(self, window: Window) -> Iterator[Output]:
        """One output frame for each of ``window.slots``, in order."""
        ...


class ShotTensors(ABC):
    """The frames of a shot as tensors ``(3, H, W)``, each made once while it is in use."""

    def __init__(self) -> None:
        self._tensors: dict[Fraction, Tensor] = {}

    def frames(self, shot: Sequence[Frame], indices: Iterable[int]) -> list[Tensor]:
        """Some frames of a shot; those of the previous call are reused.

        Args:
            shot: source frames of one shot, in order.
            indices: of the wanted frames in it.
        """
        known = self._tensors
        self._tensors = {}
        for index in indices:
            time = shot[index].time
            if time not in self._tensors:
                self._tensors[time] = known[time] if time in known else self._make(shot, index)
        return [self._tensors[shot[index].time] for index in indices]

    def clip(self, shot: Sequence[Frame], indices: Iterable[int]) -> Tensor:
        """As ``frames``, in one tensor ``(1, 3, T, H, W)``."""
        return torch.stack(self.frames(shot, indices), dim=1)[None]

    @abstractmethod
    def show(self, shot: Sequence[Frame], index: int, pts: int, held: bool = False) -> Output:
        """The output frame that shows a frame as it is: a source frame itself, or what a network made of it."""

    @abstractmethod
    def same(self, first: Frame, second: Frame) -> bool:
        """Whether two source frames are identical."""

    @abstractmethod
    def alpha(self, frame: Frame) -> Alpha:
        """The alpha of a source frame, in the size of these frames; None if alpha isn't used."""

    @abstractmethod
    def gray(self, planes: Sequence[Plane | Tensor]) -> Tensor:
        """Alphas as gray pictures, ``(1, 3, T, H, W)`` in [0, 1]."""

    @abstractmethod
    def _make(self, shot: Sequence[Frame], index: int) -> Tensor: ...


class FrameTensors(ShotTensors):
    """Source frames, converted to R'G'B'.

    Args:
        color: of the source.
        device: where the tensors are.
        has_alpha: whether the alpha of frames is used.
    """

    def __init__(self, color: Color, device: torch.device, has_alpha: bool = False) -> None:
        super().__init__()
        self._color = color
        self._device = device
        self._has_alpha = has_alpha

    def show(self, shot: Sequence[Frame], index: int, pts: int, held: bool = False) -> Output:
        """See ``ShotTensors``; the frame itself, so that its own samples are encoded."""
        return Output(pts, shot[index], held)

    def same(self, first: Frame, second: Frame) -> bool:
        """See ``ShotTensors``."""
        return same_pixels(first.picture, second.picture) and _same(self.alpha(first), self.alpha(second))

    def alpha(self, frame: Frame) -> Plane | None:
        """See ``ShotTensors``; the samples of the frame."""
        return frame.alpha if self._has_alpha else None

    def gray(self, planes: Sequence[Plane | Tensor]) -> Tensor:
        """See ``ShotTensors``."""
        return torch.stack([self._unit(plane) for plane in planes]).expand(1, 3, -1, -1, -1)

    def _unit(self, plane: Plane | Tensor) -> Tensor:
        """An alpha as ``(H, W)`` in [0, 1]."""
        if isinstance(plane, Tensor):
            return plane
        highest = np.float32(2**self._color.layout.depth - 1)
        return torch.from_numpy(plane.astype(np.float32) / highest).to(self._device)

    def _make(self, shot: Sequence[Frame], index: int) -> Tensor:
        return to_rgb(shot[index].picture, self._color, self._device)


class RestoredTensors(ShotTensors):
    """What a restoration network makes of the frames of a shot.

    Args:
        enhancer: runs the network.
        given: the frames that the network gets.
        sigma: noise level for networks that take one, otherwise None.
        size: height and width of the frames, to which those of the network are resized; None for the network's own.
    """

    def __init__(
        self,
        enhancer: Enhancer,
        given: ShotTensors,
        sigma: NoiseLevel | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self._enhancer = enhancer
        self._given = given
        self._sigma = sigma
        self._size = size

    def show(self, shot: Sequence[Frame], index: int, pts: int, held: bool = False) -> Output:
        """See ``ShotTensors``."""
        return Output(pts, self.frames(shot, [index])[0], held, self.alpha(shot[index]))

    def same(self, first: Frame, second: Frame) -> bool:
        """See ``ShotTensors``; identical frames may differ once they are restored, since their neighbors differ."""
        return self._given.same(first, second)

    def alpha(self, frame: Frame) -> Alpha:
        """See ``ShotTensors``; resized with the colors, but not restored."""
        alpha = self._given.alpha(frame)
        if alpha is None or self._size is None or alpha.shape == self._size:
            return alpha
        return _resized(self.gray([alpha])[0, :1, 0], self._size)[0]

    def gray(self, planes: Sequence[Plane | Tensor]) -> Tensor:
        """See ``ShotTensors``."""
        return self._given.gray(planes)

    def _make(self, shot: Sequence[Frame], index: int) -> Tensor:
        """Restore a frame; at the ends of the shot, its first or last frame is repeated."""
        traits = self._enhancer.traits
        wanted = range(index - traits.frames_before, index + traits.frames_after + 1)
        clip = self._given.clip(shot, [min(max(each, 0), len(shot) - 1) for each in wanted])
        sigma = None if self._sigma is None else self._measure(clip[0, :, traits.frames_before])
        restored = self._enhancer.restore(clip, sigma)[0]
        return restored if self._size is None else _resized(restored, self._size)

    def _measure(self, frame: Tensor) -> Tensor:
        """The noise level in units of [0, 1], ``(1,)``."""
        sigma = estimate_sigma(frame) if self._sigma == "auto" else float(self._sigma or 0) / 255
        return torch.full((1,), sigma, device=frame.device)


class Interpolate:
    """New frames between those of a shot, which pass through unchanged.

    Nothing is interpolated across a cut, after the last frame, or between identical frames: the previous frame is held.

    Args:
        enhancer: runs an interpolation network.
        tensors: the frames.
    """

    def __init__(self, enhancer: Enhancer, tensors: ShotTensors) -> None:
        self._enhancer = enhancer
        self._tensors = tensors

    def outputs(self, window: Window) -> Iterator[Output]:
        """See ``FrameTask``."""
        shot, position = window.shot, window.position
        slots = [(slot.pts, self._enhancer.nearest_time(slot.position)) for slot in window.slots]
        if not window.after or self._tensors.same(window.frame, window.after[0]):
            for pts, time in slots:
                yield self._tensors.show(shot, position, pts, held=time != 0)
            return
        times = sorted({time for _, time in slots if 0 < time < 1})
        at_once = _MADE_AT_ONCE if self._enhancer.traits.times == "any" else max(1, len(times))
        made: dict[Fraction, Tensor] = {}
        alpha: dict[Fraction, Alpha] = {}
        for pts, time in slots:
            if time in (0, 1):
                yield self._tensors.show(shot, position + int(time), pts)
                continue
            if time not in made:
                begin = times.index(time)
                pair = self._tensors.clip(shot, (position, position + 1))
                made = self._make(pair, times[begin : begin + at_once])
                alpha = self._make_alpha(shot[position : position + 2], times[begin : begin + at_once])
            yield Output(pts, made[time], alpha=alpha[time])

    def _make(self, pair: Tensor, times: Sequence[Fraction]) -> dict[Fraction, Tensor]:
        return dict(zip(times, self._enhancer.interpolate(pair, times)[0].unbind(1), strict=True))

    def _make_alpha(self, pair: Sequence[Frame], times: Sequence[Fraction]) -> dict[Fraction, Alpha]:
        """The alpha of new frames: interpolated by the network as gray pictures, unless both frames have the same."""
        first, second = (self._tensors.alpha(frame) for frame in pair)
        if first is None or second is None or _same(first, second):
            return dict.fromkeys(times, first)
        made = self._make(self._tensors.gray([first, second]), times)
        return {time: gray.mean(0) for time, gray in made.items()}


class ShowEach:
    """One output frame for each source frame, repeated where a format without times needs it.

    Args:
        tensors: the frames.
    """

    def __init__(self, tensors: ShotTensors) -> None:
        self._tensors = tensors

    def outputs(self, window: Window) -> Iterator[Output]:
        """See ``FrameTask``."""
        if window.slots:
            output = self._tensors.show(window.shot, window.position, window.slots[0].pts)
            yield from (replace(output, pts=slot.pts) for slot in window.slots)


def chain_task(
    given: ShotTensors, enhancers: Sequence[Enhancer], levels: Sequence[NoiseLevel | None], size: tuple[int, int]
) -> FrameTask:
    """The frame task of several networks, each of which gets the frames of the one before.

    Restoration networks work on the source's frames one by one, so a network that interpolates must be the last one.

    Args:
        given: the source's frames.
        enhancers: run the networks.
        levels: the noise level of each network that takes one, otherwise None.
        size: height and width of the output, to which the last restoration network's frames are resized.
    """
    interpolates = bool(enhancers) and enhancers[-1].traits.task == "interpolation"
    restoring = enhancers[:-1] if interpolates else enhancers
    tensors = given
    for number, enhancer in enumerate(restoring, 1):
        tensors = RestoredTensors(enhancer, tensors, levels[number - 1], size if number == len(restoring) else None)
    return Interpolate(enhancers[-1], tensors) if interpolates else ShowEach(tensors)


def _same(first: Alpha, second: Alpha) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.equal(first, second)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    return first is second


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
