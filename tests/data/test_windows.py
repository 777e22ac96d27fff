"""Random and fixed windows of decoded clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ls3d.data.clips import ArrayClip
from ls3d.data.windows import FixedWindows, RandomWindows, RunningSampler
from ls3d.errors import InputError


def ramp(frames: int = 9, side: int = 32) -> ArrayClip:
    """A clip whose channels encode the frame, the row and the column of each pixel."""
    t, y, x = np.mgrid[0:frames, 0:side, 0:side]
    return ArrayClip("ramp", np.stack([20 * t, 4 * y, 4 * x], axis=-1).astype(np.uint8))


def test_a_window_depends_only_on_seed_and_index() -> None:
    first, second = (RandomWindows([ramp()], 5, 16, seed=3) for _ in range(2))
    for index in (0, 7, 123456):
        assert torch.equal(first[index]["frames"], second[index]["frames"])
    assert not torch.equal(first[0]["frames"], first[1]["frames"])
    assert not torch.equal(first[0]["frames"], RandomWindows([ramp()], 5, 16, seed=4)[0]["frames"])


def test_windows_are_consecutive_frames_in_either_direction() -> None:
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


def test_scaled_windows_cover_more_of_the_clip() -> None:
    full = RandomWindows([ramp(side=64)], 5, 16, scale=(1, 1))
    shrunk = RandomWindows([ramp(side=64)], 5, 16, scale=(0.5, 0.5))

    def span(frames: torch.Tensor) -> float:
        return float((frames[1, 0].max() - frames[1, 0].min()) / 4)

    assert span(full[0]["frames"].float()) == pytest.approx(15, abs=0.1)
    assert span(shrunk[0]["frames"].float()) == pytest.approx(30, abs=1)


def test_crops_with_motion_are_preferred() -> None:
    frames = np.zeros((5, 64, 64, 3), np.uint8)
    frames[:, :16, :16] = (np.arange(5) * 50)[:, None, None, None]
    still = RandomWindows([ArrayClip("c", frames)], 5, 16, scale=(1, 1), candidates=1)
    moving = RandomWindows([ArrayClip("c", frames)], 5, 16, scale=(1, 1), candidates=8)

    def share(windows: RandomWindows) -> float:
        return float(np.mean([windows[i]["frames"].float().std().item() > 0 for i in range(60)]))

    assert share(moving) > 2 * share(still)


def test_clips_that_are_all_too_small_are_refused() -> None:
    with pytest.raises(InputError, match="5 frames of at least 100 x 100"):
        RandomWindows([ramp()], 5, 100)


def test_every_epoch_draws_new_indices() -> None:
    drawn = 0
    sampler = RunningSampler(4, lambda: drawn)
    first = list(sampler)
    drawn += 4
    assert [*first, *sampler] == list(range(8))
    assert len(sampler) == 4


def test_fixed_windows_are_centered_and_evenly_spaced() -> None:
    windows = FixedWindows([ramp(9, 30)], 5, crop=100, per_clip=3, multiple=8)
    assert len(windows) == 3
    samples = [windows[i]["frames"].float() for i in range(3)]
    assert samples[0].shape == (3, 5, 24, 24)
    assert [round(s[0, 0].mean().item() / 20) for s in samples] == [0, 2, 4]


def test_fixed_windows_leave_out_clips_that_are_too_short_or_small() -> None:
    clips = [ramp(4, 30), ramp(9, 30), ramp(9, 6)]
    windows = FixedWindows(clips, 5, crop=100, per_clip=3, multiple=8)
    assert {id(clip) for clip, _ in windows.windows} == {id(clips[1])}
