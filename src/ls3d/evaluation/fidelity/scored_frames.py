"""The frames that a protocol scores, one at a time: the network's output and the true frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import torch
from torch import Tensor

from ls3d.data import Clip, Degradation
from ls3d.data.clips import Pixels
from ls3d.errors import InputError
from ls3d.inference import Enhancer, NetworkOutputError


@dataclass(frozen=True)
class ScoredFrame:
    """A frame of the network and the true one, with values in [0, 1].

    Attributes:
        index: index in the clip.
        given: the nearest frame that the network was given, ``(3, h, w)``.
        output: the network's frame, ``(3, H, W)``, not clamped.
        truth: the true frame, ``(3, H, W)``.
    """

    index: int
    given: Tensor
    output: Tensor
    truth: Tensor


@dataclass(frozen=True)
class InterpolationWindow:
    """Which two frames a network is given, and which ones between them it must make.

    Attributes:
        span: distance from the first to the second given frame, in frames.
        targets: the frames to make, counted from the first given frame.
        first: index of the first given frame in the clip.
        repeat: whether another window begins at the last frame of each window; otherwise a clip has only one.
    """

    span: int
    targets: tuple[int, ...]
    first: int = 0
    repeat: bool = False

    def starts(self, frames: int) -> range:
        """Indices of the first frames of all windows in a clip of ``frames`` frames."""
        starts = range(self.first, frames - self.span, self.span)
        return starts if self.repeat else starts[:1]


def interpolated_frames(
    enhancer: Enhancer, clip: Clip, window: InterpolationWindow, only: int | None = None
) -> Iterator[ScoredFrame]:
    """Make the frames of all windows of a clip.

    Args:
        enhancer: runs the network.
        clip: the true frames.
        window: which frames are given and made.
        only: index of the one frame to make, None for all.

    Raises:
        NetworkOutputError: what the network returned is not as promised; the message names the clip and the frames.
    """
    for start in window.starts(len(clip)):
        targets = [target for target in window.targets if only in (None, start + target)]
        if not targets:
            continue
        first = _to_tensor(clip[start])
        second = _same_size(clip, start + window.span, first)
        times = [Fraction(target, window.span) for target in targets]
        with _named_in_errors(clip, [start + target for target in targets]):
            outputs = enhancer.interpolate(torch.stack([first, second], dim=1)[None], times)[0].cpu()
        for target, output in zip(targets, outputs.unbind(1), strict=True):
            yield ScoredFrame(start + target, first, output, _same_size(clip, start + target, first))


def restored_frames(
    enhancer: Enhancer, clip: Clip, degradation: Degradation, indices: Sequence[int], only: int | None = None
) -> Iterator[ScoredFrame]:
    """Degrade a clip and restore frames of it, each from its neighbors; the clip's end frames are repeated.

    Args:
        enhancer: runs the network.
        clip: the true frames.
        degradation: makes the frames that the network is given.
        indices: the frames to restore; those beyond the end of the clip are ignored.
        only: index of the one frame to restore, None for all.

    Raises:
        NetworkOutputError: what the network returned is not as promised; the message names the clip and the frame.
    """
    before = enhancer.traits.frames_before
    after = enhancer.traits.frames_after
    last = len(clip) - 1

    @lru_cache(maxsize=before + 1 + after)
    def degraded(index: int) -> Tensor:
        return degradation(_to_tensor(clip[index]), clip.name, index)

    for index in indices:
        if index > last or only not in (None, index):
            continue
        window = [degraded(min(max(n, 0), last)) for n in range(index - before, index + after + 1)]
        if len({frame.shape for frame in window}) > 1:
            raise InputError(f"clip {clip.name} has frames of different sizes around frame {index}")
        with _named_in_errors(clip, [index]):
            output = enhancer.restore(torch.stack(window, dim=1)[None], torch.tensor([degradation.sigma / 255]))
        yield ScoredFrame(index, window[before], output[0].cpu(), degradation.crop(_to_tensor(clip[index])))


@contextmanager
def _named_in_errors(clip: Clip, indices: Sequence[int]) -> Iterator[None]:
    """Put the clip and the frames in front of the message of a ``NetworkOutputError``."""
    try:
        yield
    except NetworkOutputError as error:
        frames = ", ".join(map(str, indices))
        raise type(error)(f"clip {clip.name}, frame {frames}: {error.message}") from error


def _same_size(clip: Clip, index: int, first: Tensor) -> Tensor:
    """A frame as ``_to_tensor`` gives it.

    Raises:
        InputError: its size differs from that of the first frame.
    """
    frame = _to_tensor(clip[index])
    if frame.shape != first.shape:
        sizes = [f"{each.shape[2]} x {each.shape[1]}" for each in (frame, first)]
        raise InputError(f"clip {clip.name}: frame {index} has {sizes[0]} pixels, expected {sizes[1]} as before")
    return frame


def _to_tensor(pixels: Pixels) -> Tensor:
    """``(H, W, 3)`` uint8 to ``(3, H, W)`` float32 in [0, 1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().div_(255)
