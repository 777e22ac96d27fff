"""Training clips: decoding once, damaged files, samples that depend on their number alone."""

from __future__ import annotations

import logging
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from ls3d.data.clips import Clip, FixedWindows, RandomWindows, RunningSampler, open_clips
from ls3d.errors import InputError


def write_video(path: Path, frames: int = 8, width: int = 48, height: int = 40) -> None:
    """A small video with a bright square that moves."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            picture = np.full((height, width, 3), 60, np.uint8)
            picture[10:20, 2 * index : 2 * index + 10] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def ramp(frames: int = 9, side: int = 32) -> Clip:
    """A clip whose pixel values say their frame, row and column."""
    t, y, x = np.mgrid[0:frames, 0:side, 0:side]
    return Clip("ramp", np.stack([20 * t, 4 * y, 4 * x], axis=-1).astype(np.uint8))


def test_videos_are_decoded_once(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4")
    (clip,) = open_clips(tmp_path, tmp_path / "cache")
    assert clip.name == "a.mp4"
    assert clip.frames.shape == (8, 40, 48, 3)
    (cached,) = (tmp_path / "cache").iterdir()
    before = cached.stat().st_mtime_ns
    open_clips(tmp_path, tmp_path / "cache")
    assert cached.stat().st_mtime_ns == before


def test_a_damaged_video_is_reported_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_video(tmp_path / "good.mp4")
    (tmp_path / "bad.mp4").write_bytes(b"this is no video" * 100)
    with caplog.at_level(logging.WARNING):
        clips = open_clips(tmp_path, tmp_path / "cache")
    assert [clip.name for clip in clips] == ["good.mp4"]
    assert "left out" in caplog.text
    assert "bad.mp4" in caplog.text


@pytest.mark.parametrize(
    ("folder", "sentence"), [("none", "no such folder"), (".", "no video and no folder of frames")]
)
def test_a_folder_without_clips_is_named(tmp_path: Path, folder: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        open_clips(tmp_path / folder, tmp_path / "cache")


def test_a_sample_depends_on_seed_and_number_alone() -> None:
    first, second = (RandomWindows([ramp()], 5, 16, seed=3) for _ in range(2))
    for index in (0, 7, 123456):
        assert torch.equal(first[index]["frames"], second[index]["frames"])
    assert not torch.equal(first[0]["frames"], first[1]["frames"])
    assert not torch.equal(first[0]["frames"], RandomWindows([ramp()], 5, 16, seed=4)[0]["frames"])


def test_samples_are_consecutive_frames_in_either_direction() -> None:
    windows = RandomWindows([ramp()], 5, 16, scale=(1, 1))
    directions = set()
    for index in range(40):
        frames = windows[index]["frames"].float()
        assert frames.shape == (3, 5, 16, 16)
        time = (frames[0].mean(dim=(1, 2)) / 20).round()
        directions.add(tuple(time.diff().tolist()))
        y, x = frames[1, 0] / 4, frames[2, 0] / 4
        steps = {abs(round(v)) for v in (y.diff(dim=0).mean().item(), y.diff(dim=1).mean().item())}
        assert steps == {0, 1}, "flips and transposition keep neighbors neighbors"
        assert torch.isfinite(x).all()
    assert directions == {(1.0,) * 4, (-1.0,) * 4}


def test_scaled_samples_cover_more_of_the_clip() -> None:
    full = RandomWindows([ramp(side=64)], 5, 16, scale=(1, 1))
    shrunk = RandomWindows([ramp(side=64)], 5, 16, scale=(0.5, 0.5))

    def span(frames: torch.Tensor) -> float:
        return float((frames[1, 0].max() - frames[1, 0].min()) / 4)

    assert span(full[0]["frames"].float()) == pytest.approx(15, abs=0.1)
    assert span(shrunk[0]["frames"].float()) == pytest.approx(30, abs=1)


def test_the_place_that_moves_is_preferred() -> None:
    frames = np.zeros((5, 64, 64, 3), np.uint8)
    frames[:, :16, :16] = (np.arange(5) * 50)[:, None, None, None]
    still = RandomWindows([Clip("c", frames)], 5, 16, scale=(1, 1), candidates=1)
    moving = RandomWindows([Clip("c", frames)], 5, 16, scale=(1, 1), candidates=8)

    def share(windows: RandomWindows) -> float:
        return float(np.mean([windows[i]["frames"].float().std().item() > 0 for i in range(60)]))

    assert share(moving) > 2 * share(still)


def test_clips_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match="5 frames of at least 100 x 100"):
        RandomWindows([ramp()], 5, 100)


def test_every_epoch_draws_new_samples() -> None:
    drawn = 0
    sampler = RunningSampler(4, lambda: drawn)
    first = list(sampler)
    drawn += 4
    assert [*first, *sampler] == list(range(8))
    assert len(sampler) == 4


def test_fixed_windows_are_central_and_even() -> None:
    windows = FixedWindows([ramp(9, 30)], 5, crop=100, per_clip=3, multiple=8)
    assert len(windows) == 3
    samples = [windows[i]["frames"].float() for i in range(3)]
    assert samples[0].shape == (3, 5, 24, 24)
    assert [round(s[0, 0].mean().item() / 20) for s in samples] == [0, 2, 4]


def test_fixed_windows_leave_out_what_is_too_short_or_small() -> None:
    clips = [ramp(4, 30), ramp(9, 30), ramp(9, 6)]
    windows = FixedWindows(clips, 5, crop=100, per_clip=3, multiple=8)
    assert {id(clip) for clip, _ in windows.windows} == {id(clips[1])}
