"""A job that dies at any of its file operations resumes when the same call runs again, to the same bytes or weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import crash_points
from helpers.marks import slow_except
from helpers.videos import Clip


@pytest.mark.parametrize("job", slow_except(crash_points.JOBS, ["evaluation"]))
def test_death_at_every_file_operation(job: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    source = Clip(7, (32, 48), audio=["eng"]).write(tmp_path / "source" / "in.mkv")
    if job in ("evaluation", "training"):
        Clip(5, (32, 48)).write(tmp_path / "source" / "other.mkv")
    command = [sys.executable, crash_points.__file__, job, str(source), str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[-1]) >= (8 if job == "evaluation" else 20)
