"""Tiny data sets, laid out as the official archives do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ls3d.video.images import encode_png


def picture(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    """A smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=0).repeat(4, axis=1)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(pixels))


@pytest.fixture
def triplets(tmp_path: Path) -> Path:
    """Five UCF101 triplets; in number n the true frame is n off the mean of the others."""
    root = tmp_path / "ucf101"
    for number in range(1, 6):
        mean = (picture(number) // 2 + 40).astype(np.uint8)
        save(root / str(number) / "frame_00.png", mean - 4)
        save(root / str(number) / "frame_01_gt.png", mean + number)
        save(root / str(number) / "frame_02.png", mean + 4)
    return root


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    """Two Vid4 clips of four and three frames, of sizes that four does not divide."""
    root = tmp_path / "vid4"
    for clip, frames in (("calendar", 4), ("walk", 3)):
        for index in range(frames):
            pixels = np.pad(picture(index, 48, 64), ((0, 2), (0, 3), (0, 0)))
            save(root / clip / f"{index:08d}.png", pixels)
    return root
