"""``ls3d evaluate`` prints the table and writes the reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.data_sets import write_triplets
from typer.testing import CliRunner, Result

from ls3d.cli.main import app
from ls3d.errors import InputError
from ls3d.evaluation import PROTOCOLS, EvaluationReport, evaluate


@pytest.fixture
def triplets(tmp_path: Path) -> Path:
    """The UCF101 triplets of ``write_triplets``."""
    return write_triplets(tmp_path / "ucf101")


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["evaluate", *arguments], env={"COLUMNS": "200"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_prints_the_table_and_writes_the_reports(triplets: Path, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    page = tmp_path / "r.html"
    arguments = ("blend", "--protocol", "ucf101", "--data", str(triplets), "--device", "cpu")
    result = run(*arguments, "--json", str(report), "--html", str(page))
    assert "blend (measured)" in result.stdout
    assert json.loads(report.read_text())["mean"] == evaluate("blend", "ucf101", triplets).mean
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_the_same_command_resumes_and_restart_measures_all_clips(triplets: Path, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    arguments = ("blend", "--protocol", "ucf101", "--data", str(triplets), "--json", str(report))
    last = triplets / "5" / "frame_02.png"
    content = last.read_bytes()
    last.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"frame_02\.png"):
        run(*arguments)
    part = Path(f"{report}.part")
    finished = part.read_text()
    assert len(finished.splitlines()) == 5  # the identity and four clips
    last.write_bytes(content)

    part.write_text(finished.replace('"psnr": 48.13', '"psnr": 99.0'))  # clip 1, to be recognized
    run(*arguments)
    assert EvaluationReport.load(report).clips["1"].scores["psnr"] > 99
    part.write_text(finished.replace('"psnr": 48.13', '"psnr": 99.0'))
    run(*arguments, "--restart")
    assert EvaluationReport.load(report).clips["1"].scores["psnr"] < 49


def test_lists_the_protocols() -> None:
    output = run("--list").stdout
    for name in PROTOCOLS:
        assert name in output


@pytest.mark.parametrize(
    "arguments", [(), ("blend",), ("blend", "--protocol", "ucf101"), ("--protocol", "ucf101", "--data", ".")]
)
def test_a_missing_argument_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="--protocol"):
        run(*arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--protocol", "folder-x2", "--group", "test"), "group is not an option of the protocol folder-x2"),
        (("--protocol", "folder-x2", "--clips", "10"), "clips is not an option of the protocol folder-x2"),
        (("--protocol", "folder-x2", "--confusion", "c.svg"), "confusion is not"),
        (("--protocol", "no-such", "--group", "test"), "no-such"),
        (("--protocol", "c3d-svm", "--group", "test", "--html", "r.html"), "html is not an option of the protocol c3d"),
        (("--restart",), "restart is not an option of a test without --protocol"),
        (("--layer", "fc6"), "layer is not an option of a test without --protocol"),
        (("--clips", "3", "--dense", "1"), "clips 3: expected either --clips or --dense"),
        (("--protocol", "c3d-svm", "--group", "test", "--json", "none/r.json"), "json none/r.json can't be written"),
    ],
)
def test_options_that_would_do_nothing_are_refused(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        run("blend", "--data", ".", *arguments)
    assert sentence in str(error.value)
