"""Clips: sequences of frames that are read from images, videos, raw files or memory when they are asked for."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from ls3d.errors import InputError
from ls3d.nn.resize import imresize
from ls3d.video.arrays import read_video, yuv420p_to_rgb
from ls3d.video.images import read_image

#: A frame ``(H, W, 3)`` or several ``(T, H, W, 3)``, RGB.
Pixels = npt.NDArray[np.uint8]


class Clip(Protocol):
    """A sequence of frames, each ``(H, W, 3)`` uint8 RGB."""

    @property
    def name(self) -> str:
        """Identifies the clip within its data set, usually the path below the data set's folder."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Pixels: ...


class FileClip(Clip, Protocol):
    """A clip that is stored in files; iterating over it decodes every frame once, in order."""

    @property
    def paths(self) -> Sequence[Path]:
        """The files."""
        ...

    def __iter__(self) -> Iterator[Pixels]: ...


class DecodedClip(Clip, Protocol):
    """A clip whose frames are one array."""

    @property
    def frames(self) -> Pixels:
        """``(T, H, W, 3)`` uint8 RGB."""
        ...


class ImageClip:
    """A clip with one image file per frame. Implements ``FileClip``.

    Args:
        name: see ``Clip.name``.
        paths: the images, in order.
    """

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        self.name = name
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Pixels:
        return read_image(self.paths[index])

    def __iter__(self) -> Iterator[Pixels]:
        return map(read_image, self.paths)


class VideoClip:
    """A clip in a video file. Implements ``FileClip``.

    Frames are decoded in order; asking for one that is no longer kept decodes from the beginning again.

    Args:
        name: see ``Clip.name``.
        path: the video file.
        keep: number of decoded frames that are kept.
    """

    def __init__(self, name: str, path: str | os.PathLike[str], keep: int = 8) -> None:
        self.name = name
        self.path = Path(path)
        self.paths = (self.path,)
        self.keep = keep
        self._recent: OrderedDict[int, Pixels] = OrderedDict()
        self._frames: Iterator[Pixels] = iter(())
        self._next = 0

    @cached_property
    def _length(self) -> int:
        return sum(1 for _ in read_video(self.path))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Pixels:
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

    def __iter__(self) -> Iterator[Pixels]:
        return read_video(self.path)

    def _restart(self) -> None:
        self._frames = read_video(self.path)
        self._recent.clear()
        self._next = 0


class YuvClip:
    """A clip in a file of raw 8-bit 4:2:0 planes, as in the "25 YUV" benchmark. Implements ``FileClip``.

    Args:
        name: see ``Clip.name``.
        path: the file.
        width: pixels, even.
        height: pixels, even.

    Raises:
        InputError: the size is odd or zero, or the file is not a whole number of such frames.
    """

    def __init__(self, name: str, path: str | os.PathLike[str], width: int, height: int) -> None:
        bytes_per_frame = width * height * 3 // 2
        size = Path(path).stat().st_size
        if width % 2 or height % 2 or size * bytes_per_frame == 0 or size % bytes_per_frame:
            raise InputError(f"{path} has {size} bytes, expected a multiple of {width} x {height} x 3/2 (4:2:0)")
        self.name = name
        self.paths = (Path(path),)
        shape = (size // bytes_per_frame, height * 3 // 2, width)
        self._planes = np.memmap(path, dtype=np.uint8, mode="r", shape=shape)

    def __len__(self) -> int:
        return len(self._planes)

    def __getitem__(self, index: int) -> Pixels:
        return yuv420p_to_rgb(self._planes[index])

    def __iter__(self) -> Iterator[Pixels]:
        return map(yuv420p_to_rgb, self._planes)


class ArrayClip:
    """A clip in memory. Implements ``DecodedClip``.

    Args:
        name: see ``Clip.name``.
        frames: ``(T, H, W, 3)`` uint8 RGB.
    """

    def __init__(self, name: str, frames: Pixels) -> None:
        self.name = name
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Pixels:
        frame: Pixels = self.frames[index]
        return frame


class ResizedClip:
    """A clip whose frames are resized by ``resize_frame``.

    Args:
        clip: the original.
        size: height and width of the frames.
    """

    def __init__(self, clip: Clip, size: tuple[int, int]) -> None:
        self.name = clip.name
        self.size = size
        self._clip = clip

    def __len__(self) -> int:
        return len(self._clip)

    def __getitem__(self, index: int) -> Pixels:
        return resize_frame(self._clip[index], self.size)


class TruncatedClip:
    """The beginning of a clip.

    Args:
        clip: the whole clip.
        max_frames: number of frames to keep, at most.
    """

    def __init__(self, clip: Clip, max_frames: int) -> None:
        self.name = clip.name
        self.max_frames = max_frames
        self._clip = clip

    def __len__(self) -> int:
        return min(len(self._clip), self.max_frames)

    def __getitem__(self, index: int) -> Pixels:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} frames, not frame {index}")
        return self._clip[index]


def resize_frame(frame: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize a frame ``(H, W, 3)``, bicubic with antialiasing, rounded to 8 bit.

    Args:
        frame: uint8.
        size: height and width of the result; a frame of this size is returned as it is.
    """
    if frame.shape[:2] == size:
        return frame
    scale = (Fraction(size[0], frame.shape[0]), Fraction(size[1], frame.shape[1]))
    values = imresize(torch.from_numpy(frame).permute(2, 0, 1).float(), scale)
    resized: Pixels = values.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return resized
