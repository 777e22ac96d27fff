"""Tiny data sets in the layout of the official archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ls3d.video.images import encode_png

Pixels = npt.NDArray[np.uint8]


def write_triplets(root: Path) -> Path:
    """Write five UCF101 triplets; in triplet n the true frame differs by n from the mean of the other two."""
    for number in range(1, 6):
        mean = (_blocks(number) // 2 + 40).astype(np.uint8)
        _save(root / str(number) / "frame_00.png", mean - 4)
        _save(root / str(number) / "frame_01_gt.png", mean + number)
        _save(root / str(number) / "frame_02.png", mean + 4)
    return root


def write_sequences(root: Path) -> Path:
    """Write two Vid4 clips of four and three frames, of a size that is not divisible by four."""
    for clip, frames in (("calendar", 4), ("walk", 3)):
        for index in range(frames):
            pixels = np.pad(_blocks(index, 48, 64), ((0, 2), (0, 3), (0, 0)))
            _save(root / clip / f"{index:08d}.png", pixels)
    return root


def _blocks(seed: int, height: int = 24, width: int = 32) -> Pixels:
    """Random colors in blocks of 4 x 4 pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=0).repeat(4, axis=1)


def _save(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(pixels))
