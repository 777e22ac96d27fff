"""A classifier that the program trained is exported and classifies in another process without further arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.labeled import write_gray_videos
from typer.testing import CliRunner

from ls3d.cli.main import app
from ls3d.models import load_model


def test_an_exported_classifier_needs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightning")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = write_gray_videos(tmp_path / "videos", groups=False)
    values = ["optimization.steps=40", "optimization.batch_size=4", "optimization.warm_up=1", "accelerator=cpu"]
    values += [
        "model.arguments.width=4",
        "data.frames=3",
        "data.fps=6",
        "data.size=[16,24]",
        f"output={tmp_path / 'run'}",
    ]
    train = ["train", "--data", str(root), "--model", "r3d_18", *values]
    result = CliRunner().invoke(app, train)
    assert result.exception is None, result.output
    (weights,) = (tmp_path / "run").glob("*.safetensors")
    load_model(weights).save_pretrained(tmp_path / "exported")
    for path in (weights, root / "dark" / "dark0.mp4"):
        path.rename(tmp_path / path.name)
    command = [
        sys.executable,
        "-m",
        "ls3d",
        "classify",
        str(tmp_path / "dark0.mp4"),
        "--model",
        str(tmp_path / "exported"),
    ]
    subprocess.run([*command, "--json", str(tmp_path / "line.json")], check=True, timeout=300)
    (line,) = json.loads((tmp_path / "line.json").read_text())
    assert set(line["best"]) == {"bright", "dark"}
    assert next(iter(line["best"])) == "dark"
    assert line["windows"][0]["end"] == 0.5  # three frames at six per second
