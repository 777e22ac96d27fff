"""Windows of consecutive frames, cut from decoded clips for training and validation.

A random window depends only on the seed and its index, so training that is interrupted and resumed sees the same
windows as training that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ls3d.data.clips import DecodedClip, Pixels
from ls3d.errors import InputError


class ClipSample(TypedDict):
    """A window of a clip: ``frames (3, T, h, w)`` uint8, and the name of the clip."""

    frames: Tensor
    clip: str


class RandomWindows(Dataset[ClipSample]):
    """Random windows, cropped and augmented.

    A clip is drawn with a probability proportional to the number of its windows. Of ``candidates`` random crops, the
    one with the largest mean difference between first and last frame is used. It is scaled down by a random factor,
    and flipped along both axes, transposed and reversed in time with probability 1/2 each.

    Args:
        clips: those that are too short or too small are left out.
        frames: frames in a window.
        crop: height and width of a sample in pixels.
        scale: range of the random scale; (1, 1) keeps the original size.
        candidates: number of crops to choose from.
        seed: window ``i`` depends only on ``(seed, i)``.

    Raises:
        InputError: no clip is long and large enough.
    """

    def __init__(
        self,
        clips: Sequence[DecodedClip],
        frames: int,
        crop: int,
        scale: tuple[float, float] = (0.5, 1.0),
        candidates: int = 2,
        seed: int = 0,
    ) -> None:
        self.frames = frames
        self.crop = crop
        self.scale = scale
        self.candidates = candidates
        self.seed = seed
        self.clips = [clip for clip in clips if self._fits(clip)]
        if not self.clips:
            raise InputError(f"no clip has {frames} frames of at least {crop} x {crop} pixels")
        windows = np.array([len(clip.frames) - frames + 1 for clip in self.clips], dtype=np.float64)
        self.probability = windows / windows.sum()

    def _fits(self, clip: DecodedClip) -> bool:
        length, height, width, _ = clip.frames.shape
        return bool(length >= self.frames and min(height, width) >= self.crop)

    def __getitem__(self, index: int) -> ClipSample:
        rng = np.random.default_rng((self.seed, index))
        clip = self.clips[rng.choice(len(self.clips), p=self.probability)]
        frames = clip.frames
        start = int(rng.integers(len(frames) - self.frames + 1))
        window = frames[start : start + self.frames]
        side = self._source_side(rng, window)
        cropped = self._moving_crop(rng, window, side)
        sample = torch.from_numpy(np.array(cropped)).permute(0, 3, 1, 2)
        if side != self.crop:
            size = (self.crop, self.crop)
            sample = F.interpolate(sample, size, mode="bilinear", antialias=True, align_corners=False)
        return {"frames": _augment(rng, sample).transpose(0, 1).contiguous(), "clip": clip.name}

    def _source_side(self, rng: np.random.Generator, window: Pixels) -> int:
        """Side of the crop in pixels of the clip, at a random scale, limited by the clip's size."""
        height, width = window.shape[1:3]
        return int(min(round(self.crop / rng.uniform(*self.scale)), height, width))

    def _moving_crop(self, rng: np.random.Generator, window: Pixels, side: int) -> Pixels:
        """The candidate crop with the most motion, ``(T, side, side, 3)``."""
        height, width = window.shape[1:3]
        corners = rng.integers((height - side + 1, width - side + 1), size=(self.candidates, 2))
        crops = [window[:, y : y + side, x : x + side] for y, x in corners]
        return max(crops, key=_motion)


def _motion(window: Pixels) -> float:
    """Mean absolute difference of the first and the last frame, on every fourth pixel."""
    first = window[0, ::4, ::4].astype(np.int16)
    last = window[-1, ::4, ::4].astype(np.int16)
    return float(np.abs(last - first).mean())


def _augment(rng: np.random.Generator, frames: Tensor) -> Tensor:
    """Random flips, transposition and time reversal of ``(T, 3, h, w)``."""
    reverse, flip_y, flip_x, transpose = rng.random(4) < 0.5
    axes = [axis for axis, chosen in ((0, reverse), (2, flip_y), (3, flip_x)) if chosen]
    frames = frames.flip(axes)
    return frames.transpose(2, 3) if transpose else frames


class RunningSampler(Sampler[int]):
    """Consecutive indices that continue from one epoch to the next, so that no window is drawn twice.

    Several processes divide each batch: the first one has its first samples, and so on.

    Args:
        size: samples in an epoch, of all processes.
        drawn: returns how many samples training has used so far; called at the beginning of each epoch.
        batch: samples of a batch, of all processes; divides ``size``.
        rank: index of this process.
        processes: their number; divides ``batch``.
    """

    def __init__(self, size: int, drawn: Callable[[], int], batch: int = 1, rank: int = 0, processes: int = 1) -> None:
        self.size = size
        self.drawn = drawn
        self.batch = batch
        self.share = batch // processes
        self.rank = rank

    def __iter__(self) -> Iterator[int]:
        first = self.drawn() + self.rank * self.share
        for begin in range(first, first + self.size, self.batch):
            yield from range(begin, begin + self.share)

    def __len__(self) -> int:
        return self.size // self.batch * self.share


class FixedWindows(Dataset[ClipSample]):
    """The same windows every time, for validation: evenly spaced in each clip, cropped at the center.

    Args:
        clips: those that are too short or too small are left out.
        frames: frames in a window.
        crop: height and width in pixels, less if the clip is smaller.
        per_clip: windows from each clip, at most.
        multiple: height and width of the crops are divisible by this.
    """

    def __init__(
        self, clips: Sequence[DecodedClip], frames: int, crop: int, per_clip: int = 4, multiple: int = 8
    ) -> None:
        self.frames = frames
        self.crop = crop
        self.multiple = multiple
        self.windows = [
            (clip, start)
            for clip in clips
            if len(clip.frames) >= frames and min(clip.frames.shape[1:3]) >= multiple
            for start in sorted(set(np.linspace(0, len(clip.frames) - frames, per_clip, dtype=int).tolist()))
        ]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> ClipSample:
        clip, start = self.windows[index]
        window = clip.frames[start : start + self.frames]
        height, width = (min(self.crop, side) // self.multiple * self.multiple for side in window.shape[1:3])
        top = (window.shape[1] - height) // 2
        left = (window.shape[2] - width) // 2
        cropped = np.array(window[:, top : top + height, left : left + width])
        return {"frames": torch.from_numpy(cropped).permute(3, 0, 1, 2), "clip": clip.name}
