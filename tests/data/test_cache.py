"""Clips are decoded once and kept on disk."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import videos

from ls3d.data.cache import CachedClip, open_clips, render_clips
from ls3d.data.clips import ArrayClip
from ls3d.data.windows import RandomWindows
from ls3d.errors import InputError
from ls3d.nn.resize import imresize
from ls3d.video.images import encode_png


def write_frames(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(encode_png(videos.moving_picture(number, 24, 32)))


def test_videos_are_decoded_once(tmp_path: Path) -> None:
    videos.Clip(8, (40, 48)).write(tmp_path / "a.mp4")
    (clip,) = open_clips(tmp_path, tmp_path / "cache")
    assert clip.name == "a.mp4"
    assert clip.frames.shape == (8, 40, 48, 3)
    (cached,) = (tmp_path / "cache").iterdir()
    before = cached.stat().st_mtime_ns
    open_clips(tmp_path, tmp_path / "cache")
    assert cached.stat().st_mtime_ns == before


def test_a_damaged_video_is_reported_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    videos.Clip(8, (40, 48)).write(tmp_path / "good.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"this is no video" * 100)
    with caplog.at_level(logging.WARNING):
        clips = open_clips(tmp_path, tmp_path / "cache")
    assert [clip.name for clip in clips] == ["good.mp4"]
    assert "left out" in caplog.text
    assert "bad.mp4" in caplog.text


@pytest.mark.parametrize(
    ("folder", "sentence"), [("none", "no such folder"), (".", "no video and no folder of frames")]
)
def test_a_folder_without_clips_is_refused(tmp_path: Path, folder: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        open_clips(tmp_path / folder, tmp_path / "cache")


def test_frames_are_cached_at_their_own_or_the_requested_size(tmp_path: Path) -> None:
    write_frames(tmp_path / "data" / "walk", 3)
    (whole,) = open_clips(tmp_path / "data", tmp_path / "cache")
    truth = np.stack([videos.moving_picture(n, 24, 32) for n in range(3)])
    assert np.array_equal(whole.frames, truth)
    (small,) = open_clips(tmp_path / "data", tmp_path / "cache", size=(12, 16))
    expected = imresize(torch.from_numpy(truth).permute(0, 3, 1, 2).double(), Fraction(1, 2)).round().clamp(0, 255)
    assert np.abs(small.frames.astype(int) - expected.permute(0, 2, 3, 1).numpy()).max() <= 1
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_clip_with_frames_of_different_sizes_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_frames(tmp_path / "good", 2)
    write_frames(tmp_path / "odd", 2)
    (tmp_path / "odd" / "1.png").write_bytes(encode_png(videos.moving_picture(1, 20, 20)))
    assert [clip.name for clip in open_clips(tmp_path, tmp_path.parent / f"{tmp_path.name}_cache")] == ["good"]
    assert "odd has frames of different sizes" in caplog.text


def test_a_cached_clip_is_mapped_only_while_it_is_read(tmp_path: Path) -> None:
    """There may be more clips than files that a process can map."""
    np.save(tmp_path / "clip.npy", np.zeros((5, 16, 16, 3), np.uint8))
    windows = RandomWindows([CachedClip("clip", tmp_path / "clip.npy")], 5, 16)
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux lists the files that are mapped")
    windows[0]
    assert "clip.npy" not in maps.read_text()


def test_rendered_clips_depend_on_their_number_alone_and_are_kept(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 130, 140, 3), dtype=np.uint8)
    sources = [ArrayClip("a", pixels), ArrayClip("too small", pixels[:, :64])]
    two = render_clips(sources, 2, tmp_path)
    assert [clip.frames.shape for clip in two] == [(9, 256, 256, 3)] * 2
    assert not np.array_equal(two[0].frames, two[1].frames)
    assert np.array_equal(render_clips(sources, 1, tmp_path / "other")[0].frames, two[0].frames)
    before = two[0].path.stat().st_mtime_ns
    assert [clip.path for clip in render_clips(sources, 2, tmp_path)] == [clip.path for clip in two]
    assert two[0].path.stat().st_mtime_ns == before


def test_clips_that_are_too_small_for_textures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clip has 128 x 128 pixels"):
        render_clips([ArrayClip("a", np.zeros((2, 64, 200, 3), np.uint8))], 1, tmp_path)
