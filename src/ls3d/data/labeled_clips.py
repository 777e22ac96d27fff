"""Clips of labeled videos: random ones for training, evenly spaced ones for evaluation.

A random clip depends only on the seed and its index, so training that is interrupted and resumed sees the same clips as
training that is not. A video that can't be decoded is replaced by the next one, and named in the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from ls3d.data.clip_times import ClipTiming
from ls3d.data.clips import Pixels
from ls3d.data.labeled import LabeledVideo
from ls3d.errors import InputError

T = TypeVar("T")


class LabeledClip(TypedDict):
    """A clip ``(3, T, h, w)`` uint8, its class, its video, and the videos that could not be decoded in its place.

    ``unreadable`` has one line for each such video: its name, a tab and the reason.
    """

    clip: Tensor
    label: int
    name: str
    unreadable: str


class LabeledViews(TypedDict):
    """Several clips ``(V, 3, T, h, w)`` uint8 of one video; none if it can't be decoded, with the reason."""

    clips: Tensor | None
    label: int
    name: str
    unreadable: str


@dataclass(frozen=True)
class Augmentation:
    """How a random clip differs from a centered one.

    Attributes:
        share: range of the height and width of the region that a clip shows, as a share of the largest region of its
            aspect ratio.
        shift: largest distance of the region from the center of the frame, as a share of what is possible.
        speed: range of the factor by which a clip covers more time.
        flip: whether half of the clips are mirrored.
    """

    share: tuple[float, float] = (0.7, 1.0)
    shift: float = 1.0
    speed: tuple[float, float] = (1.0, 1.0)
    flip: bool = True

    def time(self, rng: np.random.Generator, timing: ClipTiming, duration: float) -> tuple[float, float]:
        """Draw the start of a clip in seconds, and its speed."""
        speed = float(rng.uniform(*self.speed))
        return timing.random_start(rng, duration, speed), speed

    def region(self, rng: np.random.Generator, frame: tuple[int, ...], size: tuple[int, int]) -> Region:
        """Draw the region of a frame that a clip of ``size`` shows."""
        share = float(rng.uniform(*self.share))
        top, left = 0.5 + self.shift * (rng.random(2) - 0.5)
        return Region.inside(frame, size, share, float(top), float(left))

    def is_mirrored(self, rng: np.random.Generator) -> bool:
        """Draw whether a clip is mirrored."""
        return self.flip and bool(rng.random() < 0.5)


class RandomClips(Dataset[LabeledClip]):
    """One random clip of each video in every pass through the videos, in random order.

    Args:
        videos: at least one.
        timing: of the clips.
        size: height and width of a clip in pixels.
        augmentation: of the clips.
        seed: clip ``i`` depends only on ``(seed, i)``.
    """

    def __init__(
        self,
        videos: Sequence[LabeledVideo],
        timing: ClipTiming,
        size: tuple[int, int],
        augmentation: Augmentation,
        seed: int = 0,
    ) -> None:
        self.videos = videos
        self.timing = timing
        self.size = size
        self.augmentation = augmentation
        self.seed = seed

    def __getitem__(self, index: int) -> LabeledClip:
        video, clip, unreadable = draw(self.videos, self.seed, index, self._clip)
        return {"clip": clip, "label": video.label, "name": video.name, "unreadable": unreadable}

    def _clip(self, rng: np.random.Generator, video: LabeledVideo) -> Tensor:
        duration = video.frames.duration
        start, speed = self.augmentation.time(rng, self.timing, duration)
        frames = video.frames.read(self.timing.times(start, duration, speed))
        region = self.augmentation.region(rng, frames.shape[1:3], self.size)
        clip = resize_region(frames, region, self.size)
        return clip.flip(-1) if self.augmentation.is_mirrored(rng) else clip


def draw(
    videos: Sequence[LabeledVideo],
    seed: int,
    index: int,
    read: Callable[[np.random.Generator, LabeledVideo], T],
) -> tuple[LabeledVideo, T, str]:
    """Read a random sample of a video. Every pass through the videos has its own random order.

    Args:
        videos: at least one.
        seed: the sample depends only on ``(seed, index)``.
        index: of the sample.
        read: reads a sample of a video; if it can't, it raises InputError or OSError, and the next video is taken.

    Returns:
        The video, what was read, and one line for each video that could not be read: its name, a tab and the reason.

    Raises:
        InputError: no video can be read.
    """
    rng = np.random.default_rng((seed, index))
    lap, position = divmod(index, len(videos))
    order = _order(seed, lap, len(videos))
    unreadable: list[str] = []
    for k in range(len(order)):
        video = videos[order[(position + k) % len(order)]]
        try:
            return video, read(rng, video), "\n".join(unreadable)
        except (InputError, OSError) as error:
            unreadable.append(f"{video.name}\t{error}")
    raise InputError("none of the training videos can be decoded")


class FixedViews(Dataset[LabeledViews]):
    """Evenly spaced clips of each video, with one crop at the center or three along the longer side.

    Args:
        videos: the videos.
        timing: of the clips.
        size: height and width of a clip in pixels.
        share: height and width of the region that a clip shows, as a share of the largest region of its aspect ratio.
        clips: clips of each video.
        crops: 1 or 3.
    """

    def __init__(
        self,
        videos: Sequence[LabeledVideo],
        timing: ClipTiming,
        size: tuple[int, int],
        share: float = 0.875,
        clips: int = 1,
        crops: int = 1,
    ) -> None:
        self.videos = videos
        self.timing = timing
        self.size = size
        self.share = share
        self.clips = clips
        self.crops = crops

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> LabeledViews:
        video = self.videos[index]
        try:
            clips = self._views(video)
        except (InputError, OSError) as error:
            return {"clips": None, "label": video.label, "name": video.name, "unreadable": f"{video.name}\t{error}"}
        return {"clips": clips, "label": video.label, "name": video.name, "unreadable": ""}

    def _views(self, video: LabeledVideo) -> Tensor:
        duration = video.frames.duration
        views = []
        for start in self.timing.uniform_starts(duration, self.clips):
            frames = video.frames.read(self.timing.times(start, duration))
            regions = view_regions(frames.shape[1:3], self.size, self.share, self.crops)
            views += [resize_region(frames, region, self.size) for region in regions]
        return torch.stack(views)


@dataclass(frozen=True)
class Region:
    """A rectangle of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def inside(
        cls, frame: tuple[int, ...], size: tuple[int, int], share: float, top: float = 0.5, left: float = 0.5
    ) -> Region:
        """Return a region of a frame with the aspect ratio of a clip.

        Args:
            frame: height and width of the frame.
            size: height and width of the clip.
            share: height and width as a share of those of the largest such region.
            top: position from 0 (top) to 1 (bottom).
            left: position from 0 (left) to 1 (right).
        """
        scale = share * min(frame[0] / size[0], frame[1] / size[1])
        height = min(frame[0], max(1, round(scale * size[0])))
        width = min(frame[1], max(1, round(scale * size[1])))
        return cls(round(top * (frame[0] - height)), round(left * (frame[1] - width)), height, width)


def view_regions(frame: tuple[int, ...], size: tuple[int, int], share: float, crops: int) -> list[Region]:
    """The region at the center of a frame, or three along its longer side; see ``FixedViews``."""
    height, width = frame
    regions = []
    for position in (0.5,) if crops == 1 else (0.0, 0.5, 1.0):
        top, left = (position, 0.5) if height > width else (0.5, position)
        regions.append(Region.inside((height, width), size, share, top, left))
    return regions


def resize_region(frames: Pixels, region: Region, size: tuple[int, int]) -> Tensor:
    """Crop frames ``(T, H, W, 3)`` and resize them (bilinear, antialiased) to a clip ``(3, T, h, w)``, uint8."""
    rows = slice(region.top, region.top + region.height)
    columns = slice(region.left, region.left + region.width)
    clip = torch.from_numpy(np.ascontiguousarray(frames[:, rows, columns])).permute(0, 3, 1, 2)
    if (region.height, region.width) != size:
        clip = F.interpolate(clip, size, mode="bilinear", antialias=True, align_corners=False)
    return clip.transpose(0, 1).contiguous()


@lru_cache(maxsize=4)
def _order(seed: int, lap: int, count: int) -> list[int]:
    """The order of the videos in one pass through them."""
    order: list[int] = np.random.default_rng((seed, lap, count)).permutation(count).tolist()
    return order
