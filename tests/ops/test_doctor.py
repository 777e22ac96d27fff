"""``ls3d doctor``: its output, and its exit status when the operator's results are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from ls3d.cli import doctor
from ls3d.ops import diagnosis
from ls3d.ops.backends.cpu import library


@pytest.fixture
def program() -> typer.Typer:
    app = typer.Typer()
    doctor.register(app)
    return app


@pytest.fixture
def one_check(monkeypatch: pytest.MonkeyPatch) -> list[diagnosis.Check]:
    checks = [diagnosis.Check("cpu float32, 3 channels", 1e-6, 1e-4)]
    monkeypatch.setattr(diagnosis, "self_test", lambda seconds: checks)
    return checks


def test_it_shows_versions_devices_and_backends(program: typer.Typer, one_check: list[diagnosis.Check]) -> None:
    result = CliRunner().invoke(program, [], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    for expected in (torch.__version__, "float16", str(diagnosis.cpu_kernel()[0]), "passed"):
        assert expected in result.output


def test_a_wrong_result_is_shown_and_fails(program: typer.Typer, one_check: list[diagnosis.Check]) -> None:
    one_check.append(diagnosis.Check("cpu float64, 3 channels", float("inf"), 1e-10))
    result = CliRunner().invoke(program, [], env={"COLUMNS": "160"})
    assert result.exit_code == 1
    assert "failed" in result.output


def test_without_a_kernel_it_says_why(
    program: typer.Typer, one_check: list[diagnosis.Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "load", lambda: (None, "the compiled kernel is missing"))
    result = CliRunner().invoke(program, [], env={"COLUMNS": "200"})
    assert "reference" in result.output
    assert "the compiled kernel is missing" in result.output
    assert {choice.backend for choice in diagnosis.backend_choices() if choice.device == "cpu"} == {"reference"}


def test_a_problem_of_the_build_is_shown(
    program: typer.Typer, one_check: list[diagnosis.Check], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(library, "path", lambda: tmp_path / "libls3d.so")
    (tmp_path / "build_problem.txt").write_text("error: cannot find -lgomp\n")
    if library.instruction_set():
        result = CliRunner().invoke(program, [], env={"COLUMNS": "200"})
        assert "one thread, as it was built without OpenMP: error: cannot find -lgomp" in result.output
    library.load.cache_clear()
    try:
        assert library.load()[1] == "the compiled kernel libls3d.so is missing (error: cannot find -lgomp)"
    finally:
        library.load.cache_clear()


def test_backends_have_the_names_that_use_backend_takes() -> None:
    library_exists = library.load()[0] is not None
    expected = "cpu" if library_exists else "reference"
    assert {choice.backend for choice in diagnosis.backend_choices() if choice.device == "cpu"} == {expected}
