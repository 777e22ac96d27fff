"""The three commands: flags, help, progress, reports, and errors with exit status 2."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import typer
from helpers.videos import Clip, decode, times
from typer.testing import CliRunner

from ls3d.cli import enhance
from ls3d.cli import main as program
from ls3d.video import probe

app = typer.Typer()
enhance.register(app)


def run(*arguments: object) -> str:
    """Run a command, which must succeed; its output."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two seconds with sound."""
    return Clip(50, audio=["eng"]).write(tmp_path / "in.mp4")


@pytest.mark.parametrize("command", ["interpolate", "upscale", "denoise"])
def test_help_has_an_example(command: str) -> None:
    output = run(command, "--help")
    assert f"Example: ls3d {command}" in output
    for flag in ("device", "precision", "tile", "start", "duration", "codec", "crf", "preview", "resume", "progress"):
        assert f"--{flag}" in output


def test_factor_and_the_bar(source: Path, tmp_path: Path) -> None:
    output = run("interpolate", source, tmp_path / "out.mp4", "--factor", 4, "--model", "blend", "--preview", 0.2)
    assert len(decode(tmp_path / "out.mp4")) == 20
    assert "5 frames became 20" in output


def test_fps(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    run("interpolate", source, target, "--fps", "30000/1001", "--model", "repeat", "--duration", 1)
    assert probe(target).rate == Fraction(30000, 1001)


def test_slow_motion(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    output = run("interpolate", source, target, "--slow-motion", "--model", "blend", "--preview", 0.4)
    assert times(target) == [Fraction(n, 25) for n in range(20)]
    assert "can't be slowed down with the video" in output


def test_progress_for_programs(source: Path, tmp_path: Path) -> None:
    arguments = ("denoise", source, tmp_path / "out.mp4", "--model", "identity", "--preview", 0.2)
    lines = [json.loads(line) for line in run(*arguments, "--progress", "json").splitlines()]
    assert lines[-1]["report"]["frames_out"] == 5
    assert lines[0]["total"] == 5
    assert run(*arguments, "--progress", "none") == ""


def test_the_other_flags(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    run(
        *("upscale", source, target, "--scale", 4, "--model", "bicubic", "--start", 0.4, "--duration", 0.2),
        *("--codec", "hevc", "--crf", 30, "--tile", 64, "--device", "cpu", "--precision", "bfloat16"),
        *("--restart", "--cut-threshold", 0, "--on-error", "stop", "--max-memory", "3G"),
    )
    info = probe(target)
    assert (info.codec, info.width, info.frames) == ("hevc", 256, 5)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--factor", "5"], "--factor 5: expected 2, 4 or 8"),
        (["--fps", "many"], "--fps many: expected a number"),
        (["--preview", "1", "--duration", "1"], "--preview and --duration exclude each other"),
        (["--max-memory", "lots"], "--max-memory lots: expected bytes"),
        (["--tile", "1"], "--tile 1: expected at least 64 pixels"),
        (["--crf", "99"], "--crf 99: expected a number from 0 to 63"),
    ],
)
def test_errors_name_the_flag(
    flags: list[str],
    sentence: str,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["ls3d", "interpolate", str(source), str(tmp_path / "out.mp4"), *flags])
    with pytest.raises(SystemExit) as status:
        program()
    assert status.value.code == 2
    output = capsys.readouterr().err.strip().splitlines()
    assert output[-1].startswith(f"error: {sentence}")
