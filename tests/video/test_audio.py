"""Audio is aligned with the frames: it starts late, frame rates vary, channels and rates differ, or there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers.sound import click_track, click_wave
from helpers.videos import Clip

from ls3d.errors import InputError
from ls3d.video import read_audio, read_frames_at

CLICKS = (0.5, 1.6, 2.8, 3.4)
HOP = 0.01

#: Frames that become slower: 40 ms apart, then 70 ms, then 30 ms.
VARIABLE = (*np.arange(0, 1.2, 0.04), *np.arange(1.2, 2.6, 0.07), *np.arange(2.6, 4, 0.03))


def onsets(samples: npt.NDArray[np.floating], start: float = 0.0) -> list[float]:
    """Times at which it gets loud."""
    loud = np.abs(samples) > 0.15
    first = np.flatnonzero(loud & ~np.concatenate([[False], loud[:-1]]))
    apart = first[np.diff(first, prepend=-10_000) > 800]
    return [start + float(index) / 16_000 for index in apart]


@pytest.mark.parametrize(
    ("name", "codec", "start", "times"),
    [
        ("a.mkv", "flac", 0.0, None),
        ("a.mp4", "aac", 0.0, None),
        ("opus.mkv", "libopus", 0.0, None),
        ("a.mov", "pcm_s16le", 0.0, None),
        ("late.mkv", "flac", 1.1, None),
        ("late.mp4", "aac", 1.1, None),
        ("variable.mkv", "flac", 0.0, VARIABLE),
        ("late_variable.mp4", "aac", 1.1, VARIABLE),
    ],
)
def test_clicks_are_where_the_frames_flash(
    tmp_path: Path, name: str, codec: str, start: float, times: tuple[float, ...] | None
) -> None:
    path = click_track(tmp_path / name, CLICKS, audio_start=start, frame_times=times, codec=codec)
    heard = [click for click in CLICKS if click > start]
    samples = read_audio(path, 0.0, 64_000)
    assert samples is not None
    np.testing.assert_allclose(onsets(samples), heard, atol=HOP / 2)
    for click in heard:  # seeks, to a span in the middle
        part = read_audio(path, click - 0.3, 9600)
        assert part is not None
        np.testing.assert_allclose(onsets(part, click - 0.3), [click], atol=HOP / 2)
        frames = read_frames_at(path, [click - 0.11, click + 0.02])
        assert frames[0].mean() < 50
        assert frames[1].mean() > 200


def test_samples_are_those_of_the_file(tmp_path: Path) -> None:
    path = click_track(tmp_path / "a.mkv", CLICKS, codec="flac", layout="stereo")
    samples = read_audio(path, 0.25, 48_000, rate=48_000)
    assert samples is not None
    np.testing.assert_allclose(samples, click_wave(CLICKS, 4.0, 48_000)[12_000:60_000], atol=1e-3)


def test_outside_of_the_file_there_is_silence(tmp_path: Path) -> None:
    path = click_track(tmp_path / "a.mkv", CLICKS)
    for start, heard in ((-1.0, [0.5]), (3.9, []), (20.0, [])):
        samples = read_audio(path, start, 32_000)
        assert samples is not None
        assert samples.shape == (32_000,)
        np.testing.assert_allclose(onsets(samples, start), heard, atol=HOP / 2)


def test_a_file_without_audio_has_none(tmp_path: Path) -> None:
    path = Clip().write(tmp_path / "silent.mp4")
    assert read_audio(path, 0.0, 100) is None
    assert read_audio(path, 5.0, 100) is None


def test_what_is_no_video_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="is not a video that can be decoded"):
        read_audio(tmp_path / "a.mp4", 0.0, 100)
