"""``ls3d train`` and ``ls3d reproduce``: arguments reach the library, results reach the user."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from helpers.labeled import write_gray_videos
from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.testing import CliRunner

import ls3d.reproduce
import ls3d.training
from ls3d.cli.main import app
from ls3d.errors import InputError, TrainingStoppedError
from ls3d.models import read_metadata
from ls3d.reproduce import TABLES, Architecture, Reproduction, RowResult, Search, SearchResult

RECIPE = """
kind: interpolation
model: {name: vfi_ls3d, arguments: {width: 4}}
data: {root: clips, crop: 32, scale: [1, 1]}
optimization: {steps: 200, batch_size: 1, warm_up: 1}
"""


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_train_prints_where_the_weights_are(tmp_path: Path, folder: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    (tmp_path / "_small.yaml").write_text("optimization: {steps: 2}\naccelerator: cpu\n")
    arguments = ["train", f"{recipe}+small", f"data.root={folder}", f"output={tmp_path / 'run'}"]
    printed = run(*arguments)
    weights = tmp_path / "run" / "weights.safetensors"
    assert f"Weights: {weights}" in printed.replace("\n", "")
    assert read_metadata(weights)["steps"] == 2
    assert logging.getLogger("lightning.pytorch.utilities.rank_zero").level == logging.WARNING
    first = weights.stat().st_mtime_ns
    run(*arguments)
    assert weights.stat().st_mtime_ns == first
    run(*arguments, "--restart")
    assert weights.stat().st_mtime_ns > first


@pytest.mark.parametrize(
    ("flags", "way"),
    [([], "; the same command resumes"), (["--restart"], "; the same command without --restart resumes")],
)
def test_a_stopped_training_says_what_resumes_it(
    flags: list[str], way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: Any, resume: bool) -> Path:
        assert resume == (not flags)
        raise TrainingStoppedError(signal.SIGINT, 2, tmp_path)

    monkeypatch.setattr(ls3d.training, "train", train)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    result = CliRunner().invoke(app, ["train", str(recipe), *flags])
    assert result.exit_code == 130
    message = " ".join(result.stderr.split())
    assert message == f"stopped by SIGINT after step 2; its state is saved in {tmp_path}{way}"


@pytest.fixture
def result() -> Reproduction:
    column = TABLES["table6"].columns[0]
    optimization = {"optimization": {"steps": 10, "batch_size": 4}}
    rows = [
        RowResult(column, row, {0: {"psnr": psnr, "ssim": 0.9}}, optimization, 1, Path("runs"))
        for row, psnr in zip(column.rows, (29.1, 29.4), strict=True)
    ]
    weightless = {column.title: ("bicubic", {"psnr": 28.0, "ssim": 0.8})}
    return Reproduction(TABLES["table6"], rows, weightless, True, "clips held out from training", "cpu", {})


def test_reproduce_passes_its_options_on_and_shows_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: Reproduction
) -> None:
    given: dict[str, Any] = {}

    def reproduce(table: str, overrides: Sequence[str], **options: Any) -> Reproduction:
        options.pop("progress")(0, 2, "Vimeo-90K, LS3D paper, seed 0")
        given.update(options, table=table, overrides=list(overrides))
        return result

    monkeypatch.setattr(ls3d.reproduce, "reproduce", reproduce)
    target = tmp_path / "table6.json"
    options = ["--small", "--seeds", "1", "--clips", "my_clips", "--output", "runs", "--json", str(target)]
    printed = run("reproduce", "table6", "data.crop=64", *options)
    assert given == {
        "table": "table6",
        "overrides": ["data.crop=64"],
        "small": True,
        "seeds": 1,
        "clips": Path("my_clips"),
        "test": None,
        "recipes": Path("recipes"),
        "output": Path("runs"),
    }
    assert "run 1 of 2: Vimeo-90K, LS3D paper, seed 0" in printed
    assert "29.40" in printed
    assert json.loads(target.read_text()) == result.to_dict()


def test_reproduce_checks_the_target_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ls3d.reproduce, "reproduce", lambda *_, **__: pytest.fail("reproduced before the check"))
    with pytest.raises(InputError, match=r"json no_such_folder/a\.json can't be written: there is no folder"):
        run("reproduce", "table2", "--json", "no_such_folder/a.json")


@pytest.mark.parametrize("command", ["train", "reproduce", "search"])
def test_every_argument_and_option_has_a_help_text(command: str) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    parameters = group.commands[command].params
    assert parameters
    assert all(isinstance(parameter, TyperArgument | TyperOption) and parameter.help for parameter in parameters)


def test_a_folder_of_videos_needs_no_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained by one command, measured by another; nothing has to be stated again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = write_gray_videos(tmp_path / "gray", groups=False)
    changes = ["optimization.steps=2", "optimization.batch_size=4", "model.arguments.width=4", "data.size=[16,16]"]
    folder = tmp_path / "run"
    run("train", "--data", str(root), "--model", "r3d_18", *changes, f"output={folder}", "accelerator=cpu")
    output = run("evaluate", str(folder / "weights.safetensors"), "--data", str(root), "--clips", "1")
    assert "of 6 videos, 1 clips x 1 crops" in output


def test_data_and_model_go_together(tmp_path: Path) -> None:
    for arguments, sentence in (
        (["--data", str(tmp_path)], "--data and --model go together"),
        ([], "expected a recipe, or --data and --model"),
    ):
        result = CliRunner().invoke(app, ["train", *arguments])
        assert isinstance(result.exception, InputError)
        assert sentence in str(result.exception)


def test_search_prints_accuracy_beside_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = SearchResult(Architecture(convolution="2.5d"), 31_505_325, 20_750_000_000, {0: 50.0, 1: 54.0}, {0: 90.0})
    given: dict[str, Any] = {}

    def search(data: str, overrides: Sequence[str], **options: Any) -> Search:
        options.pop("progress")(0, 2, "2.5d")
        given.update(options, data=data, overrides=list(overrides))
        return Search(data, 4, 8, 100, 16, [found])

    monkeypatch.setattr(ls3d.reproduce, "search_architectures", search)
    target = tmp_path / "search.json"
    options = ["--fps", "15", "--fps", "7.5", "--depth", "18", "--convolution", "2.5d", "--json", str(target)]
    printed = run("search", "videos", "optimization.steps=100", *options)
    assert (given["data"], given["overrides"]) == ("videos", ["optimization.steps=100"])
    assert (given["fps"], given["size"], given["depth"], given["convolution"]) == ([15, 7.5], (), [18], ["2.5d"])
    for text in ("31.51 M", "20.750", "52.0 ± 2.8", "90.0", "chance 25.0"):
        assert text in printed
    assert json.loads(target.read_text())["results"][0]["mean_top1"] == 52
