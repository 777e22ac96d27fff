"""Clips to measure on: frames that are decoded when they are asked for.

Unlike training clips (``ls3d.data.clips``) these are read once, in order, so nothing is kept but the last
frames.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import torch

from ls3d.errors import InputError
from ls3d.nn.resize import imresize
from ls3d.video.images import read_image

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".ts", ".y4m"})


class Footage(Protocol):
    """A clip: ``len(clip)`` frames, each ``(H, W, 3)`` uint8 RGB."""

    @property
    def name(self) -> str:
        """What the clip is called in tables: its place below the data set's folder."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...


def decode(path: str | os.PathLike[str]) -> Iterator[av.VideoFrame]:
    """The pictures of a video file, in order.

    Raises:
        InputError: the file is no video, or damaged.
    """
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            yield from container.decode(video=0)
    except (av.InvalidDataError, IndexError) as error:
        raise InputError(f"{path} is not a video that can be decoded") from error


class ImageFootage:
    """A clip that lies as one image per frame.

    Args:
        name: what it is called.
        paths: the images, in order.
    """

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        self.name, self.paths = name, tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        return read_image(self.paths[index])


class VideoFootage:
    """A clip that lies in a video file; frames are read in order, the last few are kept.

    Args:
        name: what it is called.
        path: the file.
        keep: how many frames behind the newest one can be asked for again without reading from the beginning.
    """

    def __init__(self, name: str, path: str | os.PathLike[str], keep: int = 8) -> None:
        self.name, self.path, self.keep = name, Path(path), keep
        self.paths = (self.path,)
        self._recent: OrderedDict[int, np.ndarray] = OrderedDict()
        self._frames: Iterator[np.ndarray] = iter(())
        self._next = 0

    @cached_property
    def _length(self) -> int:
        return sum(1 for _ in decode(self.path))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} frames, not frame {index}")
        if index not in self._recent:
            if index < self._next or self._next == 0:
                self._restart()
            while self._next <= index:
                self._recent[self._next] = next(self._frames)
                self._next += 1
                while len(self._recent) > self.keep:
                    self._recent.popitem(last=False)
        return self._recent[index]

    def _restart(self) -> None:
        self._frames = (picture.to_ndarray(format="rgb24") for picture in decode(self.path))
        self._recent.clear()
        self._next = 0


class YuvFootage:
    """A clip that lies as raw 8-bit 4:2:0 planes, frame after frame: the files of the "25 YUV" benchmark.

    Args:
        name: what it is called.
        path: the file.
        width: pixels, even.
        height: pixels, even.

    Raises:
        InputError: the size is odd, or the file is not a whole number of such frames.
    """

    def __init__(self, name: str, path: str | os.PathLike[str], width: int, height: int) -> None:
        frame = width * height * 3 // 2
        size = Path(path).stat().st_size
        if width % 2 or height % 2 or size == 0 or size % frame:
            raise InputError(f"{path} has {size} bytes, expected a multiple of {width} x {height} x 3/2 (4:2:0)")
        self.name, self.paths = name, (Path(path),)
        shape = (size // frame, height * 3 // 2, width)
        self._planes = np.memmap(path, dtype=np.uint8, mode="r", shape=shape)

    def __len__(self) -> int:
        return len(self._planes)

    def __getitem__(self, index: int) -> np.ndarray:
        planes = np.ascontiguousarray(self._planes[index])
        return av.VideoFrame.from_ndarray(planes, format="yuv420p").to_ndarray(format="rgb24")


class FrameList:
    """A clip that lies in memory.

    Args:
        name: what it is called.
        frames: its frames, each ``(H, W, 3)`` uint8 RGB.
    """

    def __init__(self, name: str, frames: Sequence[np.ndarray] | np.ndarray) -> None:
        self.name, self._frames = name, frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._frames[index]


class ResizedFootage:
    """A clip brought to another size, bicubic with antialiasing, rounded to 8 bit.

    Args:
        footage: the clip.
        size: height and width of the frames that come out.
    """

    def __init__(self, footage: Footage, size: tuple[int, int]) -> None:
        self.name, self._footage, self.size = footage.name, footage, size

    def __len__(self) -> int:
        return len(self._footage)

    def __getitem__(self, index: int) -> np.ndarray:
        frame = self._footage[index]
        if frame.shape[:2] == self.size:
            return frame
        scale = (Fraction(self.size[0], frame.shape[0]), Fraction(self.size[1], frame.shape[1]))
        pixels = imresize(torch.from_numpy(frame).permute(2, 0, 1).float(), scale)
        return pixels.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


class FirstFrames:
    """The beginning of a clip.

    Args:
        footage: the clip.
        count: frames of it, at most.
    """

    def __init__(self, footage: Footage, count: int) -> None:
        self.name, self._footage, self._count = footage.name, footage, count

    def __len__(self) -> int:
        return min(len(self._footage), self._count)

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} frames, not frame {index}")
        return self._footage[index]
