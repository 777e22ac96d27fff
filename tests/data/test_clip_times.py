"""When the frames of a clip are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers import videos

from ls3d.data.clip_times import ClipTiming
from ls3d.data.clips import Pixels
from ls3d.data.labeled import LabeledVideo, open_labeled_set
from ls3d.data.labeled_clips import Augmentation, RandomClips

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


@dataclass
class RecordedTimes:
    """Black frames that record the first time of each clip. Implements ``TimedFrames``."""

    duration: float
    firsts: list[float] = field(default_factory=list)

    def read(self, times: Sequence[float]) -> Pixels:
        """See ``TimedFrames.read``."""
        self.firsts.append(times[0])
        return np.zeros((len(times), 4, 4, 3), np.uint8)


def test_random_clips_cover_every_video_uniformly() -> None:
    """10,000 clips of four videos: each has 2,500, in 10 bins; chi-square with 9 degrees of freedom, 99.9 %: 27.9."""
    recorded = [RecordedTimes(duration) for duration in (2.5, 4.0, 7.0, 32.0)]
    labeled = [LabeledVideo(str(number), 0, "", frames) for number, frames in enumerate(recorded)]
    clips = RandomClips(labeled, ClipTiming(2, 1.0), (4, 4), Augmentation(share=(1, 1)), seed=5)
    for index in range(10_000):
        clips[index]
    for frames in recorded:
        assert len(frames.firsts) == 2500
        counts = np.histogram(frames.firsts, bins=10, range=(0.5, frames.duration - 1.5))[0]
        assert counts.sum() == 2500
        assert ((counts - 250) ** 2 / 250).sum() < 27.9


#: Milliseconds of the frames of a video of variable rate.
VARIABLE = [0, 40, 50, 200, 210, 260, 400, 410, 420, 600, 640, 900, 1000, 1010, 1200, 1500]


@pytest.mark.parametrize("rate", [Fraction(10), Fraction(15), Fraction(20), Fraction(30000, 1001), None])
def test_clips_of_a_part_of_a_file_have_the_nearest_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: Fraction | None
) -> None:
    """The part begins at 0.3 seconds; gray values count the frames of the file. None is a variable rate."""

    def counting(index: int, height: int, width: int) -> videos.Image:
        return np.full((height, width, 3), 4 * index, np.uint8)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if rate is None:
        timed = {"pts": VARIABLE, "time_base": Fraction(1, 1000)}
        seconds = np.array(VARIABLE) / 1000
    else:
        timed = {"rate": rate}
        seconds = np.arange(int(1.6 * rate)) / float(rate)
    options = {"crf": "0", "preset": "ultrafast"}
    clip = videos.Clip(len(seconds), (16, 16), picture=counting, options=options, **timed)  # type: ignore[arg-type]
    clip.write(tmp_path / "clip.mkv")
    (tmp_path / "set.csv").write_text("path,label,start,end\nclip.mkv,gray,0.3,1.4\n")
    (video,) = open_labeled_set(tmp_path / "set.csv").videos
    timing = ClipTiming(6, 7.0)
    for start in (0.0, 0.11, *timing.uniform_starts(video.frames.duration, 2)):
        times = timing.times(start, video.frames.duration)
        found = [round(float(frame.mean()) / 4) for frame in video.frames.read(times)]
        for time, number in zip(times, found, strict=True):
            distances = np.abs(seconds - 0.3 - time)
            assert distances[number] <= distances.min() + 2e-3
