"""What a protocol scores: the model's frames beside the true ones, clip by clip, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ls3d.data.degradations import degradation
from ls3d.data.footage import FirstFrames, Footage, ResizedFootage
from ls3d.evaluation.fidelity.protocols import Protocol, Window
from ls3d.inference import Enhancer


@dataclass(frozen=True)
class Sample:
    """One scored frame.

    Attributes:
        index: its number in the clip.
        given: what the model saw nearest to it, ``(3, h, w)`` in [0, 1].
        output: what the model made of it, ``(3, H, W)``.
        truth: the true frame.
    """

    index: int
    given: Tensor
    output: Tensor
    truth: Tensor


def samples(enhancer: Enhancer, protocol: Protocol, clip: Footage, only: int | None = None) -> Iterator[Sample]:
    """The scored frames of a clip, made one after the other.

    Args:
        enhancer: the model.
        protocol: what to score.
        clip: the true frames.
        only: make this frame alone.
    """
    if protocol.size:
        clip = ResizedFootage(clip, protocol.size)
    if protocol.max_frames:
        clip = FirstFrames(clip, protocol.max_frames)
    if protocol.window:
        yield from _interpolated(enhancer, protocol.window, clip, only)
    else:
        yield from _restored(enhancer, protocol, clip, only)


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float().div_(255)


def _interpolated(enhancer: Enhancer, window: Window, clip: Footage, only: int | None) -> Iterator[Sample]:
    for start in window.starts(len(clip)):
        targets = [target for target in window.targets if only in (None, start + target)]
        if not targets:
            continue
        first, second = _tensor(clip[start]), _tensor(clip[start + window.span])
        times = {target: Fraction(target, window.span) for target in targets}
        made = enhancer.interpolate(torch.stack([first, second], dim=1)[None], list(times.values()))[0].cpu().unbind(1)
        for target, frame in zip(times, made, strict=True):
            yield Sample(start + target, first, frame, _tensor(clip[start + target]))


def _restored(enhancer: Enhancer, protocol: Protocol, clip: Footage, only: int | None) -> Iterator[Sample]:
    """Every scored frame from its window; the clip's first and last frames are repeated beyond its ends."""
    known = degradation(protocol.degradation or "")
    degraded = _remembering(lambda index: known(_tensor(clip[index]), clip.name, index), enhancer)
    last = len(clip) - 1
    before, after = enhancer.traits.frames_before, enhancer.traits.frames_after
    for index in protocol.scored or range(len(clip)):
        if index > last or only not in (None, index):
            continue
        window = [min(max(n, 0), last) for n in range(index - before, index + after + 1)]
        frames = torch.stack([degraded(n) for n in window], dim=1)
        output = enhancer.restore(frames[None], torch.tensor([known.sigma / 255]))[0].cpu()
        yield Sample(index, degraded(index), output, known.crop(_tensor(clip[index])))


def _remembering(degraded: Callable[[int], Tensor], enhancer: Enhancer) -> Callable[[int], Tensor]:
    """Keep the frames of one window."""
    return lru_cache(maxsize=enhancer.traits.frames_before + 1 + enhancer.traits.frames_after)(degraded)
