"""Optical flow of known motions, on the fly and from the cache, and the program that writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers.textures import random_texture
from helpers.videos import Clip
from torch.nn import functional as F

from ls3d.data.cached_flow import CachedFlow
from ls3d.data.clips import Pixels
from ls3d.data.decoded import DecodedFrames
from ls3d.data.flow import FlowMethod, compute_flow, flow_colors
from ls3d.data.labeled import FileFrames
from ls3d.errors import InputError
from ls3d.recognition import write_flow
from ls3d.video import read_frames_regularly

METHODS: tuple[FlowMethod, ...] = ("dis", "farneback")
SHIFT = (1.75, -1.25)  # pixels to the right and downwards, per frame


def moving(count: int, size: tuple[int, int] = (72, 96)) -> Pixels:
    """Frames ``(count, H, W, 3)`` of a texture that moves by ``SHIFT``."""
    texture = F.avg_pool2d(random_texture(4 * size[0] + 192, 4 * size[1] + 192), 4, 1)  # 4 pixels for each one
    frames = []
    for number in range(count):
        left, top = (96 - round(4 * number * shift) for shift in SHIFT)
        part = texture[0, :, top : top + 4 * size[0] : 4, left : left + 4 * size[1] : 4]
        frames.append((255 * part.clamp(0, 1)).round().byte().permute(1, 2, 0))
    return torch.stack(frames).numpy()


def inner(flow: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return flow[:, 12:-12, 12:-12]


@pytest.mark.parametrize("method", METHODS)
def test_flow_of_a_translation(method: FlowMethod) -> None:
    flow = compute_flow(moving(3), method)
    assert flow.shape == (2, 72, 96, 2)
    error = np.abs(inner(flow) - SHIFT)
    assert error.mean(axis=(0, 1, 2)).max() < 0.1
    assert np.abs(np.median(inner(flow), axis=(0, 1, 2)) - SHIFT).max() < 0.1


def test_equal_frames_have_no_flow() -> None:
    frames = moving(1)
    assert not compute_flow(np.concatenate([frames, frames])).any()


def test_cached_flow_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    frames = DecodedFrames(moving(5), 10.0, 0.4)
    cached = CachedFlow(frames, 10.0)
    first = cached.read([0.05, 0.15], 0.1)
    np.testing.assert_allclose(first, compute_flow(frames.pixels[:3]), atol=0.02)
    (file,) = (tmp_path / "ls3d" / "flow").iterdir()
    stored = np.load(file)
    np.save(file, 2 * stored)
    np.testing.assert_allclose(cached.read([0.05, 0.15], 0.2), 4 * first, rtol=1e-3)
    file.write_bytes(b"damaged")
    np.testing.assert_array_equal(cached.read([0.05, 0.15], 0.1), first)
    CachedFlow(frames, 10.0, "farneback").read([0.0], 0.1)
    assert len(list(file.parent.iterdir())) == 2


def test_cached_flow_of_a_changed_file_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "a.mp4"
    for count in (6, 8):
        Clip(count).write(path)
        CachedFlow(FileFrames(path, count / 25), 5.0).read([0.0], 0.2)
    assert len(list((tmp_path / "ls3d" / "flow").iterdir())) == 2


def test_frames_that_are_too_small_and_unknown_methods_are_errors() -> None:
    with pytest.raises(InputError, match="frames of 8 x 40 pixels are too small"):
        compute_flow(np.zeros((2, 40, 8, 3), np.uint8))
    with pytest.raises(InputError, match="raft: expected dis or farneback"):
        compute_flow(moving(2), "raft")  # type: ignore[arg-type]


def test_colors_show_direction_and_length() -> None:
    flow = np.array([[0, 0], [20, 0], [-20, 0], [10, 0]], np.float32)
    assert flow_colors(flow, 20).tolist() == [[255] * 3, [255, 0, 0], [0, 255, 255], [255, 128, 128]]


def test_flow_is_written_as_arrays_and_as_a_video(tmp_path: Path) -> None:
    path = Clip(8, picture=lambda index, *_: moving(8, (48, 64))[index]).write(tmp_path / "a.mp4")
    assert write_flow(path, tmp_path / "flow.npz", fps=25) == 7
    with np.load(tmp_path / "flow.npz") as stored:
        assert stored["flow"].shape == (7, 48, 64, 2)
        assert float(stored["fps"]) == 25
        median = np.median(stored["flow"][:, 10:-10, 10:-10].astype(np.float32), axis=(0, 1, 2))
    np.testing.assert_allclose(median, SHIFT, atol=0.1)
    assert write_flow(path, tmp_path / "flow.mkv", fps=25, largest=4) == 7
    shown = list(read_frames_regularly(tmp_path / "flow.mkv", 25))
    assert len(shown) == 7
    assert write_flow(path, tmp_path / "FLOW.NPZ", fps=25) == 7
    np.load(tmp_path / "FLOW.NPZ").close()
    with pytest.raises(InputError, match=r"can't be written as a video"):
        write_flow(path, tmp_path / "flow.txt")
    assert not list(tmp_path.glob(".*"))
