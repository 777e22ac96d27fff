"""Jobs on animation on twos and threes: no duplicates are left, duration and motion are even, stills are still."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.animation import animation
from helpers.networks import Mean
from helpers.videos import decode, planes, times

from ls3d.enhance import EnhanceOptions, denoise, interpolate
from ls3d.video.duplicates import difference

AUTO = EnhanceOptions(dedup="auto", threads=1)


def duplicates(path: Path, noise: float = 8) -> int:
    """Number of frames that repeat the one before, but for the codec's noise."""
    return sum(difference(a, b) < noise for a, b in pairwise(decode(path)))


def positions(path: Path) -> list[float]:
    """Horizontal position of the disc in each frame."""
    found = []
    for frame in decode(path):
        weight = (planes(frame)[0] > 180).sum(0)
        found.append(float((weight * np.arange(len(weight))).sum() / weight.sum()))
    return found


def test_24_frames_on_twos_move_evenly(tmp_path: Path) -> None:
    source = animation([2] * 8).write(tmp_path / "in.mp4")
    assert duplicates(source) == 8
    interpolate(source, tmp_path / "off.mkv", factor=2)
    report = interpolate(source, tmp_path / "out.mp4", factor=2, options=AUTO)
    assert duplicates(tmp_path / "off.mkv") > 8
    assert duplicates(tmp_path / "out.mp4") == 3  # of the last drawing, after which nothing comes
    assert (report.frames_in, report.frames_out, report.duplicates, report.held_frames) == (16, 32, 8, 3)
    assert times(tmp_path / "out.mp4") == [Fraction(n, 48) for n in range(32)]
    steps = np.diff(positions(tmp_path / "out.mp4")[:29])
    assert np.all(abs(steps - 1.5) < 0.8)


def test_drawings_of_different_length_move_until_the_next(tmp_path: Path) -> None:
    source = animation([3, 1, 2, 3]).write(tmp_path / "in.mp4")
    options = EnhanceOptions(dedup="auto", codec="ffv1")
    interpolate(source, tmp_path / "out.mkv", factor=1, options=options, model="blend")
    assert len(decode(tmp_path / "out.mkv")) == 9
    interpolate(source, tmp_path / "fps.mkv", fps=72, options=options, model="blend")
    assert len(decode(tmp_path / "fps.mkv")) == 27
    assert duplicates(tmp_path / "fps.mkv", noise=0.5) == 8


def test_stills_stay_still(tmp_path: Path) -> None:
    source = animation([12, 2, 2]).write(tmp_path / "in.mp4")
    options = EnhanceOptions(dedup="auto", codec="ffv1")
    interpolate(source, tmp_path / "out.mkv", factor=2, options=options, model="blend")
    made = decode(tmp_path / "out.mkv")
    assert max(difference(made[0], frame) for frame in made[:23]) < 8


def test_denoised_duplicates_are_shown_again(tmp_path: Path) -> None:
    source = animation([2] * 4).write(tmp_path / "in.mp4")
    model = Mean()
    report = denoise(source, tmp_path / "out.mkv", model=model, options=AUTO)
    assert (report.frames_in, report.frames_out, model.calls) == (8, 8, 4)


@pytest.mark.parametrize("call", [4, 8])
def test_interrupted_jobs_resume(tmp_path: Path, call: int) -> None:
    source = animation([2] * 5 + [9] + [3] * 4).write(tmp_path / "in.mp4")
    options = EnhanceOptions(threads=1, segment_frames=5, dedup="auto", start=0.05)
    whole, resumed = tmp_path / "whole.mp4", tmp_path / "resumed.mp4"
    denoise(source, whole, model=Mean(), options=options)
    with pytest.raises(KeyboardInterrupt):
        denoise(source, resumed, model=Mean(breaks_at=call), options=options)
    report = denoise(source, resumed, model=Mean(), options=options)
    assert report.resumed == call // 4
    assert resumed.read_bytes() == whole.read_bytes()


def test_y4m_and_images_get_every_frame(tmp_path: Path) -> None:
    source = animation([2] * 4).write(tmp_path / "in.mp4")
    interpolate(source, tmp_path / "out.y4m", factor=2, model="blend", options=AUTO)
    interpolate(source, tmp_path / "images", factor=2, model="blend", options=AUTO)
    assert len(decode(tmp_path / "out.y4m")) == len(list((tmp_path / "images").iterdir())) == 16
