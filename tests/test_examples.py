"""The programs in examples/ do what they say."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.videos import Clip, decode
from PIL import Image

from ls3d.models import create_model, save_pretrained

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: object) -> None:
    """Run an example as a program, in this process."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return Clip(6, size=(48, 64)).write(tmp_path / "in.mp4")


def test_interpolation_of_frames(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "interpolate_frames.py", source, tmp_path / "out.mp4")
    assert len(decode(tmp_path / "out.mp4")) == 12
    with pytest.raises(SystemExit, match=r"none.mp4"):
        run(monkeypatch, "interpolate_frames.py", tmp_path / "none.mp4", tmp_path / "out.mp4")


def test_upscaling_of_frames(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "upscale_frames.py", source, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (128, 96)


def test_denoising_of_frames(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "denoise_frames.py")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    for line in lines:
        before, after = map(float, re.findall(r"([\d.]+) dB", line))
        assert after > before + 5


def test_classification_of_frames(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = {"frames": 4, "fps": 25.0, "size": [32, 32], "share": 0.875}
    network = create_model("r3d_18", num_classes=2, width=8)
    folder = save_pretrained(network, tmp_path / "weights", classes=["red", "blue"], clip=clip)
    run(monkeypatch, "classify_frames.py", source, folder)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["frames 0 to 3", "frames 2 to 5"]
    assert all(line.split()[4].strip(",") in ("red", "blue") for line in lines)
    with pytest.raises(SystemExit, match="vfi is for interpolation, expected a classifier"):
        run(monkeypatch, "classify_frames.py", source, "vfi")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*_frames.py")), ids=lambda path: path.name)
def test_examples_of_tasks_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60


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
