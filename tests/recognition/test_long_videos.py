"""Long videos: labels at the right times, and memory that doesn't grow with the length."""

from __future__ import annotations

import json
import os
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from helpers import videos
from helpers.flat_colors import COLORS, color_at

RATE = 10
SECONDS_EACH = 20  # of a color before the next one

#: Bytes by which the memory of two processes may differ; a frame for each tenth of a second would be 36 kB each.
TOLERANCE = 24 << 20


def write_video(path: Path, minutes: float) -> Path:
    clip = videos.Clip(
        round(minutes * 60 * RATE), (96, 128), rate=Fraction(RATE), picture=color_at(SECONDS_EACH * RATE)
    )
    return clip.write(path)


def classify(video: Path, network: Path, result: Path) -> int:
    """Run the program; returns the largest resident memory of its process, in bytes."""
    arguments = ["-m", "ls3d", "classify", str(video), "--model", str(network), "--json", str(result)]
    process = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ)
    _, status, usage = os.wait4(process, 0)
    assert status == 0
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows doesn't tell the memory of a process that has ended")
@pytest.mark.parametrize(("short", "long"), [(0.5, 3), pytest.param(3, 30, marks=pytest.mark.slow, id="half an hour")])
def test_labels_and_memory(color_network: Path, tmp_path: Path, short: float, long: float) -> None:
    memory = []
    for minutes in (short, long):
        video = write_video(tmp_path / f"{minutes}.mp4", minutes)
        memory.append(classify(video, color_network, tmp_path / "result.json"))
        (line,) = json.loads((tmp_path / "result.json").read_text())
        windows = line["windows"]
        assert len(windows) == round(2 * 60 * minutes) - 1
        for window in windows:
            number, within = divmod(window["start"], SECONDS_EACH)
            if within <= SECONDS_EACH - 1:  # the window of one second shows a single color
                assert next(iter(window["best"])) == list(COLORS)[int(number) % len(COLORS)], window
    assert memory[1] - memory[0] < TOLERANCE
