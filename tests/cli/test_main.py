"""The program: one sentence and exit status 2 for a wrong input, a traceback for a bug."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ls3d
from ls3d.cli import main
from ls3d.cli._console import terminable
from ls3d.errors import InputError, MissingExtraError, require

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "crossing.mp4")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ls3d", *arguments], capture_output=True, text=True, check=False)


def test_version() -> None:
    result = run("--version")
    assert result.stdout.split() == ["ls3d", ls3d.__version__]
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("interpolate", "no_such.mp4", "out.mp4"), "no_such.mp4"),
        (("interpolate", EXAMPLE, "out.mp4", "--model", "vfi_l3sd"), "did you mean vfi_ls3d"),
        (("train", "bad.yaml"), "bad.yaml is not a recipe"),
        (("train", "no_such.yaml"), "no_such.yaml"),
        (("reproduce", "table9"), "table7, table8, gblend, gblend-kinetics"),
        (("reproduce", "table2", "--small"), "there is no recipe vfi/table2_baseline.yaml"),
        (("reproduce", "table2", "--json", "no_such_folder/out.json"), "there is no folder no_such_folder"),
        (("evaluate", "blend", "--protocol", "ucf101", "--data", "no_such_folder"), "no_such_folder"),
        (("serve", "--max-size", "inf"), "--max-size inf: expected a finite number above 0"),
        (("serve", "--max-length", "nan"), "--max-length nan: expected a finite number above 0"),
        (("flow", EXAMPLE, "-o", "out.mp4", "--fps", "inf"), "--fps inf: expected a finite number above 0"),
        (("flow", EXAMPLE, "-o", "out.mp4", "--largest", "inf"), "--largest inf: expected a finite number above 0"),
        (("flow", EXAMPLE, "-o", ".", "--overwrite"), "is a directory"),
        (("doctor", "--seconds", "nan"), "--seconds"),
        (("compare", EXAMPLE, "out", "--seconds", "nan"), "--seconds nan: expected 0 or more"),
        (("search", ".", "--fps", "inf"), "--fps inf: expected a finite number above 0"),
        (("sampling", EXAMPLE, "--at", "1,1", "-o", "out.npz", "--sigma", "nan"), "--sigma nan: expected 0 to 255"),
        (("shards", "make", "no_such_folder", "out", "--size", "0"), "--size 0: expected at least 1 byte"),
        (("summary", "no_such_model"), "no_such_model"),
        (("convert", "no_such.pth", "out.safetensors", "--model", "c3d"), "no_such.pth"),
    ],
)
def test_a_wrong_input_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    (tmp_path / "bad.yaml").write_text("- this is a list\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ls3d", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert_one_line(capsys.readouterr().err, sentence)
    assert not list(tmp_path.glob("out*"))


def test_a_wrong_input_of_the_program() -> None:
    result = run("interpolate", "no_such.mp4", "out.mp4")
    assert result.returncode == 2
    assert_one_line(result.stderr, "no_such.mp4")


def assert_one_line(text: str, sentence: str) -> None:
    assert sentence in text
    assert "Traceback" not in text
    assert len([line for line in text.splitlines() if line.strip()]) == 1


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(importlib.import_module("ls3d.cli.main"), "app", broken)
    with pytest.raises(KeyError):
        main()


def test_an_interruption_before_a_command_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("ls3d.cli.main"), "app", interrupted)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM for other processes")
def test_a_termination_is_the_exit_status() -> None:
    """Also of commands that don't handle it, such as ls3d serve."""
    with pytest.raises(SystemExit) as stop, terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.code == 143


def test_a_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'ls3d\[train\]'"):
        require("no_such_package_of_ours", "train")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ImportError):
        require("yaml", "train")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("values must be in [0, 1], got [red]"), "values must be in [0, 1], got [red]"),
        (InputError("5: expected 2", argument="factor"), "--factor 5: expected 2"),
        (InputError("2: expected 3", argument="max_memory"), "--max-memory 2: expected 3"),
        (InputError("no: expected yes", argument="resume"), "--resume no: expected yes"),
        (InputError("x.mp4: expected a video", argument="source"), "IN x.mp4: expected a video"),
        (InputError("7: expected 8", argument="depth"), "depth 7: expected 8"),
        (FileNotFoundError(2, "No such file or directory", "x.mp4"), "x.mp4: no such file or directory"),
        (OSError("the disk is full"), "the disk is full"),
    ],
)
def test_errors_in_the_words_of_the_command_line(
    error: Exception, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("ls3d.enhance.api.interpolate", refuse)
    monkeypatch.setattr(sys, "argv", ["ls3d", "interpolate", "in.mp4", "out.mp4"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"
