"""Small sets of labeled videos: files, and frames in memory."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from helpers import videos
from ls3d.data.clips import Pixels
from ls3d.data.decoded import DecodedFrames
from ls3d.data.labeled import LabeledSet, LabeledVideo

CLASSES = ("dark", "bright")
GROUPS = ("S1", "S2", "S3")


def gray_frames(level: int, count: int = 10, size: tuple[int, int] = (24, 32), seed: int = 0) -> Pixels:
    """Frames ``(count, H, W, 3)`` of noise around a gray level."""
    noise = np.random.default_rng(seed).integers(-20, 21, (count, *size, 3))
    return (level + noise).clip(0, 255).astype(np.uint8)


def gray_set(per_class: int = 3) -> LabeledSet:
    """Dark and bright videos of the groups S1 to S3, decoded."""
    made = []
    for label, name in enumerate(CLASSES):
        for number in range(per_class):
            group = GROUPS[number % len(GROUPS)]
            frames = DecodedFrames(gray_frames(60 + 120 * label, seed=number), 5.0, 2.0)
            made.append(LabeledVideo(f"{group}/{name}/{number}.mp4", label, group, frames))
    made.sort(key=lambda video: video.name)
    return LabeledSet("gray", CLASSES, tuple(made))


def write_gray_videos(root: Path, per_class: int = 3, rate: int = 10, groups: bool = True) -> Path:
    """Write dark and bright video files, ``GROUP/LABEL/VIDEO`` or ``LABEL/VIDEO``."""
    for label, name in enumerate(CLASSES):
        for number in range(per_class):
            folder = root / GROUPS[number % len(GROUPS)] / name if groups else root / name
            folder.mkdir(parents=True, exist_ok=True)
            frames = gray_frames(60 + 120 * label, count=12, size=(32, 48), seed=number)
            clip = videos.Clip(12, (32, 48), rate=Fraction(rate), picture=frames_of(frames))
            clip.write(folder / f"{name}{number}.mp4")
    return root


def frames_of(frames: Pixels) -> Callable[[int, int, int], Pixels]:
    """A function that returns frames by number."""

    def picture(index: int, _height: int, _width: int) -> Pixels:
        frame: Pixels = frames[index]
        return frame

    return picture


def damage(path: Path) -> None:
    """Overwrite a part of the pictures of an MP4 file; its header stays intact."""
    data = bytearray(path.read_bytes())
    begin, end = len(data) // 4, len(data) // 2
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
