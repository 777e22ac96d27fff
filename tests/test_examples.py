"""The programs in examples/ do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers.videos import Clip, decode

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_library_example(tmp_path: Path) -> None:
    source = Clip(6, size=(64, 96)).write(tmp_path / "in.mp4")
    program = [sys.executable, str(EXAMPLES / "library.py")]
    lines = subprocess.run(
        [*program, source, tmp_path / "out.mp4"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "frames: 6 of 6" in lines
    assert "6 frames became 12" in lines
    assert sum("(64, 96, 3)" in line for line in lines) == 6
    assert len(decode(tmp_path / "out.mp4")) == 12
    failed = subprocess.run([*program, tmp_path / "none.mp4", tmp_path / "o.mp4"], capture_output=True, text=True)
    assert failed.returncode == 1
    assert len(failed.stderr.splitlines()) == 1
