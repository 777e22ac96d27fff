"""The commands ``ls3d models``, ``ls3d summary`` and ``ls3d convert``."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from ls3d.cli.main import app
from ls3d.errors import InputError
from ls3d.models import (
    create_model,
    list_models,
    load_model,
    measured_scores,
    measured_seconds,
    model_info,
    save_weights,
)

runner = CliRunner()


def run(*arguments: str, columns: int = 200) -> str:
    result = runner.invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": str(columns)})
    assert result.exit_code == 0
    return result.output


def test_models_lists_the_registered_networks() -> None:
    lines = run("models", "*csn*").splitlines()
    assert [line.split()[0] for line in lines[1:]] == list_models("*csn*")
    row = next(line for line in lines if line.split()[0] == "ir_csn_152")
    assert row.split()[:4] == ["ir_csn_152", "recognition", "29,703,568", "3x32x224x224"]


def test_models_as_json_and_by_task() -> None:
    infos = json.loads(run("models", "--json", "--task", "audio"))
    assert [info["name"] for info in infos] == list_models(task="audio")
    assert {info["task"] for info in infos} == {"audio"}
    assert json.loads(run("models", "r3d_18", "--json"))[0]["facts"]["accuracy"]["top1"] == 62.3


def test_models_puts_descriptions_on_their_own_lines_where_the_terminal_is_narrow() -> None:
    lines = run("models", columns=80).splitlines()
    assert max(map(len, lines)) <= 80
    names = [line.split()[0] for line in lines[1 : lines.index("")] if not line.startswith(" ")]
    assert names == list_models()
    assert lines[0].split() == ["model", "task", "weights", "parameters", "input"]
    description = model_info("blend").description
    assert lines[next(n for n, line in enumerate(lines) if line.startswith("blend")) + 1] == f"    {description}"


def test_models_prints_measured_scores() -> None:
    lines = [line.split() for line in run("models", "--task", "interpolation").splitlines()]
    heading = next(line for line in lines if line[:2] == ["interpolation,", "PSNR"])
    assert heading[4:] == ["ucf101", "davis-triplets", "middlebury", "s", "per", "frame*"]
    scores = [f"{score.psnr:.2f}" for score in measured_scores("vfi")]
    assert ["vfi_ls3d_plus_s", *scores, f"{measured_seconds('vfi'):.2g}"] in lines
    assert ["*", "of", "640x360,", "on", "two", "cores"] in lines
    assert "set8-25 (4 clips)" in run("models", "vdn", columns=80)
    assert json.loads(run("models", "vsr", "--json"))[0]["facts"]["measured"][0]["protocol"] == "vid4-bi-y"
    assert json.loads(run("models", "vsr", "--json"))[0]["facts"]["seconds"] == measured_seconds("vsr")


def test_models_leaves_out_scores_over_fewer_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {name: measured_scores(name) for name in ("vfi_ls3d_plus_s", "bilateral", "minterpolate")}
    first, *others = scores["minterpolate"]
    scores["minterpolate"] = (replace(first, clips=24, complete=False), *others)
    content = {"scores": {name: [asdict(score) for score in each] for name, each in scores.items()}, "seconds": {}}
    monkeypatch.setattr("ls3d.models.measured._read", lambda: content)
    lines = run("models", "--task", "interpolation", columns=80).splitlines()
    (row,) = (line.split() for line in lines if line.startswith("minterpolate") and "needed" not in line)
    assert row == ["minterpolate", *(f"{score.psnr:.2f}" for score in others)]


def test_summary_shows_layers_and_every_count() -> None:
    output = run("summary", "r3d_18")
    assert ["stem.0", "Conv3d", "1x64x8x56x56", "28,224", "708.1"] in [line.split() for line in output.splitlines()]
    for text in ("1x3x8x112x112", "33,371,472", "33,361,472", "20.35 G", "40.70 G", "20.40 G"):
        assert text in output
    assert "stem.0" not in run("summary", "r3d_18", "--no-layers")


def test_summary_takes_sizes_and_arguments() -> None:
    facts = json.loads(run("summary", "i3d_r50", "--json", "--input", "2x8x64x64", "--set", "in_channels=2"))
    assert facts["inputs"] == [[1, 2, 8, 64, 64]]
    assert facts["flops"] == 2 * facts["macs"]
    audio = json.loads(run("summary", "av_r3d_18", "--json"))
    assert audio["inputs"] == [[1, 3, 8, 112, 112], [1, 1, 100, 40]]


def test_summary_of_a_weights_file_a_folder_and_a_default(tmp_path: Path) -> None:
    path = save_weights(create_model("audio_resnet_18", num_classes=3), tmp_path / "model.safetensors")
    for source in (path, tmp_path):
        facts = json.loads(run("summary", str(source), "--json"))
        assert facts["parameters"] == 11_407_728 - 397 * 513
    assert json.loads(run("summary", "vsr", "--json"))["model"] == "vsr_ls3d_plus_s"


def test_convert_writes_a_weights_file(tmp_path: Path) -> None:
    theirs = create_model("r3d_18", num_classes=3)  # has torchvision's names
    torch.save(dict(theirs.state_dict()), tmp_path / "theirs.pth")
    output = run("convert", str(tmp_path / "theirs.pth"), str(tmp_path / "ours.safetensors"), "--model", "r3d_18")
    assert "r3d_18 (num_classes=3, in_channels=3, bn_eps=1e-05, pool1=none), from torchvision" in output
    assert "assumed: pool1=none" in output
    model = load_model(tmp_path / "ours.safetensors")
    assert torch.equal(model.get_parameter("fc.weight"), theirs.get_parameter("fc.weight"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("summary", "nlmeans"), "nlmeans has no layers that could be counted"),
        (("models", "*bert*"), "no model matches"),
        (("models", "--task", "cooking"), "no model for cooking"),
        (("summary", "r3d_18", "--input", "3x16"), "--input is '3x16'"),
        (("summary", "r3d_18", "--input", "axbxc"), "--input is 'axbxc'"),
        (("summary", "r3d_18", "--set", "num_classes"), "--set is 'num_classes'"),
        (("summary", "r3d_18", "--set", "color=red"), "no argument 'color'"),
        (("summary", "r3d_18", "--input", "2x8x32x32"), "does not fit"),
        (("summary", "c3d", "--input", "3x16x2x2"), "does not take an input of 3x16x2x2"),
    ],
)
def test_mistakes_are_one_sentence(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("*", r"\*")):
        runner.invoke(app, arguments, catch_exceptions=False)
