"""``ls3d sampling``: what it writes and prints, and its errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from helpers.videos import Clip
from typer.testing import CliRunner

from ls3d.cli import sampling
from ls3d.errors import InputError

app = typer.Typer()
sampling.register(app)


def run(*arguments: object) -> str:
    """Run the command, which must succeed; its output."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return Clip(3, (24, 32)).write(tmp_path / "in.mp4")


def test_arrays_and_table(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.npz"
    text = run(source, "--at", "20,10", "-o", output, "--model", "blend", "--compare", "repeat", "--frame", 1)
    lines = [line.split() for line in text.splitlines()]
    assert lines[2:4] == [["1", "50%", "1", "+0.00,", "+0.00"], ["2", "50%", "1", "+0.00,", "+0.00"]]
    assert lines[6] == ["1", "100%", "1", "+0.00,", "+0.00"]
    assert lines[-1][0] == "written:"
    assert np.load(output)["repeat/1/x"].tolist() == [20]


def test_help_has_an_example() -> None:
    assert "Example: ls3d sampling" in run("--help")


@pytest.mark.parametrize("pixel", ["20", "20;10", "a,b", ""])
def test_a_pixel_that_is_none(pixel: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"at .*expected a column and a row, such as 320,180"):
        run(source, "--at", pixel, "-o", tmp_path / "out.npz")
