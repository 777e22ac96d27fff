"""When the frames of a clip are."""

from __future__ import annotations

import numpy as np
import pytest

from ls3d.data.clip_times import ClipTiming

TIMING = ClipTiming(16, 8.0)


def test_frames_are_evenly_spaced_in_the_middle_of_their_intervals() -> None:
    times = TIMING.times(1.0, 10.0)
    assert times[0] == pytest.approx(1.0625)
    assert np.diff(times) == pytest.approx([0.125] * 15)
    assert np.diff(TIMING.times(1.0, 10.0, speed=2.0)) == pytest.approx([0.25] * 15)


def test_times_stay_inside_the_video() -> None:
    times = TIMING.times(-1.0, 0.5)
    assert min(times) == 0
    assert max(times) == 0.5


def test_random_starts_cover_the_video_uniformly() -> None:
    """10,000 draws in 20 bins: chi-square with 19 degrees of freedom, 99.9th percentile 43.8."""
    rng = np.random.default_rng(0)
    starts = np.array([TIMING.random_start(rng, 12.0) for _ in range(10_000)])
    assert starts.min() >= 0
    assert starts.max() <= 10
    counts = np.histogram(starts, bins=20, range=(0, 10))[0]
    assert ((counts - 500) ** 2 / 500).sum() < 43.8


def test_a_short_video_is_inside_every_random_clip() -> None:
    rng = np.random.default_rng(0)
    starts = [TIMING.random_start(rng, 1.5) for _ in range(100)]
    assert min(starts) >= -0.5
    assert max(starts) <= 0


def test_uniform_starts_reach_both_ends() -> None:
    assert TIMING.uniform_starts(6.0, 1) == [2.0]
    assert TIMING.uniform_starts(6.0, 3) == [0.0, 2.0, 4.0]
    assert TIMING.uniform_starts(1.0, 3) == [-0.5] * 3


def test_dense_starts_fill_the_video() -> None:
    assert TIMING.dense_starts(4.0, 1.0) == [0.0, 1.0, 2.0]
    assert TIMING.dense_starts(4.9, 1.0) == [0.0, 1.0, 2.0]
    assert TIMING.dense_starts(1.0, 1.0) == [-0.5]
