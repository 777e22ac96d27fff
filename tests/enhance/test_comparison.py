"""``compare``: the pictures it writes, the times it reports, and the region it shows."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.videos import Clip
from PIL import Image, ImageSequence

from ls3d.enhance import EnhanceOptions, compare
from ls3d.enhance.comparison import format_seconds, most_different
from ls3d.errors import InputError, OutputExistsError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return Clip(frames=20, size=(48, 64)).write(tmp_path / "in.mkv")


def count_frames(path: Path) -> int:
    with Image.open(path) as clip:
        return sum(1 for _ in ImageSequence.Iterator(clip))


def test_every_network_is_shown_and_timed(source: Path, tmp_path: Path) -> None:
    started: list[tuple[str, str]] = []
    models = ["blend", "repeat", "bicubic", "identity"]
    made = compare(
        source,
        tmp_path / "out",
        at=Fraction(1, 5),
        models=models,
        frames=4,
        started=lambda task, model: started.append((task, model)),
    )
    expected = [
        ("interpolation", "blend"),
        ("interpolation", "repeat"),
        ("super-resolution", "bicubic"),
        ("denoising", "identity"),
    ]
    assert started == expected == [(trial.task, trial.model) for trial in made.trials]
    for trial in made.trials:
        assert trial.frame_seconds > 0
        assert trial.whole_seconds == pytest.approx(20 * trial.frame_seconds)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "comparison.json",
        "denoising.webp",
        "interpolation.webp",
        "sheet.png",
        "super-resolution.webp",
    ]
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written["start"] == 0.2
    assert [trial["model"] for trial in written["trials"]] == [trial.model for trial in made.trials]
    with Image.open(made.sheet) as sheet:
        assert sheet.height > 3 * 48
    frames = {path.stem: count_frames(path) for path in made.clips}
    # Twice as many, but the last one is repeated, which the file stores as a longer duration.
    assert frames == {"interpolation": 7, "super-resolution": 4, "denoising": 4}


def test_a_clip_shows_the_pixels_of_source_and_network(source: Path, tmp_path: Path) -> None:
    made = compare(source, tmp_path / "out", models=["identity"], frames=3)
    with Image.open(made.clips[0]) as clip:
        pixels = np.asarray(clip.convert("RGB"), dtype=float)
    # The tiles are as wide as their text, which is wider than these pictures.
    columns = np.flatnonzero(pixels[22:70].std(axis=(0, 2)) > 8)
    groups = np.split(columns, np.flatnonzero(np.diff(columns) > 8) + 1)
    tiles = [pixels[22:70, group[0] : group[0] + 60] for group in groups]
    assert len(tiles) == 2
    assert abs(tiles[0] - tiles[1]).mean() < 3  # lossy


def test_a_slow_network_is_stopped_after_the_first_frame(source: Path, tmp_path: Path) -> None:
    made = compare(source, tmp_path / "out", models=["identity"], frames=8, seconds=0)
    assert count_frames(made.clips[0]) == 1


def test_the_region_is_where_networks_differ_most() -> None:
    first = np.zeros((64, 96, 3), np.uint8)
    second = first.copy()
    second[40:48, 72:80] = 255
    second[0:2, 0:2] = 255
    top, left = most_different([first, second], 1, 16, 16)
    assert top <= 40 <= 48 <= top + 16
    assert left <= 72 <= 80 <= left + 16
    large = [picture.repeat(4, axis=0).repeat(4, axis=1) for picture in (first, second)]
    assert most_different(large, 4, 16, 16) == (top, left)


def test_a_rotated_video_is_shown_upright(tmp_path: Path) -> None:
    source = Clip(frames=4, size=(48, 64), rotation=90).write(tmp_path / "in.mp4")
    made = compare(source, tmp_path / "out", models=["bicubic"], frames=2)
    with Image.open(made.clips[0]) as clip:
        assert clip.height > 4 * 60  # 60 of its 64 rows, four times as large


def test_what_cannot_be_compared_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"99: .* has no frame there"):
        compare(source, tmp_path / "out", at=99, models=["blend"])
    with pytest.raises(InputError, match="1: expected at least 2"):
        compare(source, tmp_path / "out", frames=1)
    with pytest.raises(InputError, match="no bundled weights"):
        compare(source, tmp_path / "out", models=["r2plus1d_18"])
    assert not (tmp_path / "out").exists()
    compare(source, tmp_path / "out", models=["blend"], frames=2)
    with pytest.raises(OutputExistsError):
        compare(source, tmp_path / "out", models=["blend"], frames=2)
    compare(source, tmp_path / "out", models=["blend"], frames=2, options=EnhanceOptions(overwrite=True))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0352, "35 ms"), (2.13, "2.1 s"), (720, "12 min"), (12_300, "3.4 h"), (None, "unknown")],
)
def test_times_have_the_unit_that_suits_them(seconds: float | None, text: str) -> None:
    assert format_seconds(seconds) == text
