"""Training clips: videos or folders of frames, decoded once, from which random windows are cut.

Decoding is slow and training reads every clip hundreds of times, so each clip is decoded once into an array
beside the others in a cache folder, and mapped into memory from there. A clip that can't be decoded is
reported once and left out. Sample ``i`` depends on nothing but the seed and ``i``, so that training that is
killed goes on with the very same samples.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ls3d.data.footage import Footage, FrameList, ImageFootage, ResizedFootage, VideoFootage, YuvFootage, decode
from ls3d.data.training_sets import open_training_set
from ls3d.errors import InputError
from ls3d.files import atomic_write

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """A decoded clip: its name and its frames, ``(T, H, W, 3)`` uint8 RGB."""

    name: str
    frames: np.ndarray


class MappedClip:
    """A decoded clip whose frames lie in a file and are mapped into memory only while somebody holds them.

    A process can't map as many files as Vimeo-90K has clips.

    Args:
        name: what it is called.
        path: a ``.npy`` file of ``(T, H, W, 3)`` uint8 RGB.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path

    @property
    def frames(self) -> np.ndarray:
        """``(T, H, W, 3)`` uint8 RGB, memory-mapped."""
        return np.load(self.path, mmap_mode="r")


class ClipSample(TypedDict):
    """A training sample: ``frames (3, T, h, w)`` uint8, and the name of the clip it was cut from."""

    frames: Tensor
    clip: str


def open_clips(
    root: str | os.PathLike[str],
    cache: str | os.PathLike[str] | None = None,
    training_set: str = "folder",
    size: tuple[int, int] | None = None,
) -> list[MappedClip]:
    """Every clip of a training set, decoded, sorted by name; one that can't be decoded is reported and left out.

    Args:
        root: the folder that the set lies in.
        cache: where the decoded frames are kept; by default ``$XDG_CACHE_HOME/ls3d/clips``.
        training_set: a key of ``ls3d.data.training_sets.TRAINING_SETS``; a folder is searched recursively.
        size: height and width to which frames are brought before they are kept, bicubic with antialiasing.

    Raises:
        InputError: the folder isn't there, or holds no clip that can be decoded.
    """
    found = open_training_set(training_set, root)
    folder = Path(cache) if cache else _default_cache()
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for footage in found:
        try:
            clips.append(MappedClip(footage.name, _decoded(footage, folder, size)))
        except InputError as error:
            log.warning("left out: %s", error)
    if not clips:
        raise InputError(f"{root} holds no clip that can be decoded")
    return clips


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ls3d" / "clips"


def _decoded(clip: Footage, folder: Path, size: tuple[int, int] | None) -> Path:
    """The ``.npy`` file with the frames of a clip, decoded now if it isn't there yet."""
    assert isinstance(clip, (ImageFootage, VideoFootage, YuvFootage))
    files = [(path.resolve(), path.stat()) for path in clip.paths]
    facts = [f"{path}|{stat.st_size}|{stat.st_mtime_ns}" for path, stat in files]
    facts += [f"{size[0]}x{size[1]}"] if size else []
    key = hashlib.sha256("|".join(facts).encode()).hexdigest()[:16]
    target = folder / f"{Path(clip.name).stem}-{key}.npy"
    if not target.exists():
        frames = _all_frames(clip, size)
        with atomic_write(target) as part, part.open("wb") as file:
            np.save(file, frames)
    return target


def _all_frames(clip: Footage, size: tuple[int, int] | None) -> np.ndarray:
    """Every frame, ``(T, H, W, 3)``."""
    if isinstance(clip, VideoFootage):
        # Its length is known only by decoding it, so that asking for frame after frame would decode twice.
        clip = FrameList(clip.name, [picture.to_ndarray(format="rgb24") for picture in decode(clip.path)])
    source = ResizedFootage(clip, size) if size else clip
    frames = [source[index] for index in range(len(source))]
    if not frames:
        raise InputError(f"{clip.name} has no frame that can be decoded")
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(f"{clip.name} has frames of different sizes")
    return np.stack(frames)


class RandomWindows(Dataset[ClipSample]):
    """Random windows of consecutive frames, cropped and augmented.

    Clips are drawn in proportion to the number of their windows. A window is cropped where the picture
    moves: of ``candidates`` random places the one with the greatest mean difference between first and last
    frame is taken. Then it is scaled down by a random factor, flipped along both axes, transposed and
    reversed in time, each at random.

    Args:
        clips: from ``open_clips``; those shorter or smaller than a window are left out.
        frames: frames of a window.
        crop: height and width of a sample, in pixels.
        scale: the range of the random scale; (1, 1) keeps the original size.
        candidates: places among which the one that moves most is taken.
        seed: sample ``i`` depends on ``(seed, i)`` alone.

    Raises:
        InputError: no clip is long and large enough.
    """

    def __init__(
        self,
        clips: Sequence[Clip | MappedClip],
        frames: int,
        crop: int,
        scale: tuple[float, float] = (0.5, 1.0),
        candidates: int = 2,
        seed: int = 0,
    ) -> None:
        self.frames, self.crop, self.scale = frames, crop, scale
        self.candidates, self.seed = candidates, seed
        self.clips = [clip for clip in clips if self._fits(clip)]
        if not self.clips:
            raise InputError(f"no clip has {frames} frames of at least {crop} x {crop} pixels")
        windows = np.array([len(clip.frames) - frames + 1 for clip in self.clips], dtype=np.float64)
        self.probability = windows / windows.sum()

    def _fits(self, clip: Clip | MappedClip) -> bool:
        length, height, width, _ = clip.frames.shape
        return length >= self.frames and min(height, width) >= self.crop

    def __getitem__(self, index: int) -> ClipSample:
        rng = np.random.default_rng((self.seed, index))
        clip = self.clips[rng.choice(len(self.clips), p=self.probability)]
        frames = clip.frames
        start = int(rng.integers(len(frames) - self.frames + 1))
        window = frames[start : start + self.frames]
        side = self._source_side(rng, window.shape[1:3])
        cropped = self._moving_crop(rng, window, side)
        sample = torch.from_numpy(np.array(cropped)).permute(0, 3, 1, 2)
        if side != self.crop:
            size = (self.crop, self.crop)
            sample = F.interpolate(sample, size, mode="bilinear", antialias=True, align_corners=False)
        return {"frames": _augment(rng, sample).transpose(0, 1).contiguous(), "clip": clip.name}

    def _source_side(self, rng: np.random.Generator, size: tuple[int, int]) -> int:
        """How many source pixels a side of the crop covers, at a random scale that the clip allows."""
        factor = rng.uniform(*self.scale)
        return min(round(self.crop / factor), *size)

    def _moving_crop(self, rng: np.random.Generator, window: np.ndarray, side: int) -> np.ndarray:
        height, width = window.shape[1:3]
        places = rng.integers((height - side + 1, width - side + 1), size=(self.candidates, 2))
        crops = [window[:, y : y + side, x : x + side] for y, x in places]
        return max(crops, key=_motion)


def _motion(window: np.ndarray) -> float:
    """Mean absolute difference of the first and the last frame, on every fourth pixel."""
    first, last = window[0, ::4, ::4].astype(np.int16), window[-1, ::4, ::4].astype(np.int16)
    return float(np.abs(last - first).mean())


def _augment(rng: np.random.Generator, frames: Tensor) -> Tensor:
    """Random flips, transposition and time reversal of ``(T, 3, h, w)``."""
    reverse, flip_y, flip_x, transpose = rng.random(4) < 0.5
    axes = [axis for axis, chosen in ((0, reverse), (2, flip_y), (3, flip_x)) if chosen]
    frames = frames.flip(axes)
    return frames.transpose(2, 3) if transpose else frames


class RunningSampler(Sampler[int]):
    """Indices that go on where training stands, so that every epoch draws samples not drawn before.

    Args:
        size: samples of an epoch.
        drawn: how many samples training has used so far; asked when an epoch begins.
    """

    def __init__(self, size: int, drawn: Callable[[], int]) -> None:
        self.size, self.drawn = size, drawn

    def __iter__(self) -> Iterator[int]:
        first = self.drawn()
        return iter(range(first, first + self.size))

    def __len__(self) -> int:
        return self.size


class FixedWindows(Dataset[ClipSample]):
    """The same windows every time, for validation: evenly spread over each clip, cropped in the center.

    Args:
        clips: from ``open_clips``.
        frames: frames of a window.
        crop: height and width, in pixels; smaller where the clip is smaller.
        per_clip: windows of each clip, at most.
        multiple: crops are cut to multiples of this.
    """

    def __init__(
        self, clips: Sequence[Clip | MappedClip], frames: int, crop: int, per_clip: int = 4, multiple: int = 8
    ) -> None:
        self.frames, self.crop, self.multiple = frames, crop, multiple
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
        y, x = (window.shape[1] - height) // 2, (window.shape[2] - width) // 2
        cropped = np.array(window[:, y : y + height, x : x + width])
        return {"frames": torch.from_numpy(cropped).permute(3, 0, 1, 2), "clip": clip.name}
