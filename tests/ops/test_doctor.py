"""``ls3d doctor``: what it says, and that it fails when the operator computes wrongly."""

from __future__ import annotations

import pytest
import torch
import typer
from typer.testing import CliRunner

from ls3d.cli import doctor
from ls3d.ops import diagnosis
from ls3d.ops.backends.cpu import library as _kernel


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


def test_it_names_versions_devices_and_backends(program: typer.Typer, one_check: list[diagnosis.Check]) -> None:
    result = CliRunner().invoke(program, [], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    for expected in (torch.__version__, "float16", str(diagnosis.kernel()[0]), "good"):
        assert expected in result.output


def test_a_wrong_result_is_shown_and_fails(program: typer.Typer, one_check: list[diagnosis.Check]) -> None:
    one_check.append(diagnosis.Check("cpu float64, 3 channels", float("inf"), 1e-10))
    result = CliRunner().invoke(program, [], env={"COLUMNS": "160"})
    assert result.exit_code == 1
    assert "wrong" in result.output


def test_without_a_kernel_it_says_why(
    program: typer.Typer, one_check: list[diagnosis.Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_kernel, "load", lambda: (None, "the compiled kernel is missing"))
    result = CliRunner().invoke(program, [], env={"COLUMNS": "200"})
    assert "reference" in result.output
    assert "the compiled kernel is missing" in result.output
    assert {service.backend for service in diagnosis.services() if service.device == "cpu"} == {"reference"}
