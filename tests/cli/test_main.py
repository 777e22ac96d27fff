"""The program: one sentence and exit status 2 for a wrong input, a traceback for a bug."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ls3d
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
        (("reproduce", "table8"), "no table is called 'table8'"),
        (("reproduce", "table2", "--small"), "there is no recipe vfi/table2_baseline.yaml"),
        (("reproduce", "table2", "--json", "no_such_folder/out.json"), "there is no folder no_such_folder"),
        (("evaluate", "blend", "--protocol", "ucf101", "--data", "no_such_folder"), "no_such_folder"),
        (("summary", "no_such_model"), "no_such_model"),
        (("convert", "no_such.pth", "out.safetensors", "--model", "c3d"), "no_such.pth"),
    ],
)
def test_a_wrong_input_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "bad.yaml").write_text("- this is a list\n")
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.strip()]) == 1
    assert not list(tmp_path.glob("out*"))


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyError("bug")

    module = importlib.import_module("ls3d.cli.main")
    monkeypatch.setattr(module, "app", broken)
    with pytest.raises(KeyError):
        module.main()


def test_a_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'ls3d\[train\]'"):
        require("no_such_package_of_ours", "train")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ImportError):
        require("yaml", "train")


def test_brackets_in_a_sentence_are_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise InputError("values must lie in [0, 1], got [red]")

    module = importlib.import_module("ls3d.cli.main")
    monkeypatch.setattr(module, "app", refuse)
    with pytest.raises(SystemExit) as stop:
        module.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: values must lie in [0, 1], got [red]\n"
