"""Training runs: they learn, they resume to the same losses, they refuse what doesn't fit."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ls3d.data.clips import Clip
from ls3d.errors import InputError
from ls3d.models import load_model, read_metadata
from ls3d.training import Recipe, train
from ls3d.training import run as run_module
from ls3d.training.recipe import ModelSection


@pytest.fixture(autouse=True)
def clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of stripes that drift at several speeds, in place of decoded files."""
    t, y, x = np.mgrid[0:9, 0:48, 0:48]
    made = [
        Clip(name, np.stack([128 + 100 * np.sin(0.3 * (x - speed * t) + 0.2 * y)] * 3, -1).astype(np.uint8))
        for name, speed in (("a1", 0.5), ("a2", 1.5), ("a3", 2.5), ("b", 1))
    ]
    monkeypatch.setattr("ls3d.data.clips.open_clips", lambda *_: made)


def recipe(output: Path, **changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "model": {"name": "vfi_ls3d_plus_m", "arguments": {"width": 8, "detail": 8}},
        "data": {"root": "clips", "crop": 32, "scale": [1, 1], "held_out": ["b"]},
        "optimisation": {"steps": 6, "batch_size": 2, "warm_up": 1, "coarse_loss": 1.0, "ema": 0.5},
        "steps_per_epoch": 2,
        "accelerator": "cpu",
        "output": str(output),
        "half_weights": True,
        "facts": {"licence": "CC0"},
    }
    for key, change in changes.items():
        values[key] = {**values[key], **change} if isinstance(change, dict) else change
    return Recipe.model_validate(values)


def test_resumed_training_equals_uninterrupted_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped inside the second epoch, the same call goes on from the first one's end to the same weights."""
    whole = train(recipe(tmp_path / "whole"))
    stopped = recipe(tmp_path / "stopped")
    from ls3d.training.task import EnhancementTask

    step = EnhancementTask.training_step

    def killed(task: Any, batch: Any, index: int) -> Any:
        if task.global_step == 3:
            raise SystemError("killed")
        return step(task, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(EnhancementTask, "training_step", killed)
        with pytest.raises(SystemError):
            train(stopped)
    resumed = train(stopped)
    one, other = load_model(whole).state_dict(), load_model(resumed).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert read_metadata(whole)["sha256"] == read_metadata(resumed)["sha256"]


def test_weights_say_what_they_are(tmp_path: Path) -> None:
    path = train(recipe(tmp_path))
    metadata = read_metadata(path)
    assert metadata["architecture"] == "vfi_ls3d_plus_m"
    assert metadata["licence"] == "CC0"
    assert metadata["steps"] == 6
    assert metadata["recipe"]["optimisation"]["batch_size"] == 2
    assert {"psnr", "psnr_baseline"} <= set(metadata["metrics"])
    assert load_model(path)(torch.rand(1, 3, 2, 32, 32)).dtype == torch.float32
    with next(tmp_path.rglob("metrics.csv")).open() as file:
        assert any(row.get("psnr") for row in csv.DictReader(file))


def test_training_learns(tmp_path: Path) -> None:
    path = train(
        recipe(
            tmp_path,
            optimisation={"steps": 100, "learning_rate": 2e-3, "warm_up": 5, "ema": 0.8},
            steps_per_epoch=100,
        )
    )
    metrics = read_metadata(path)["metrics"]
    assert metrics["psnr"] > metrics["psnr_baseline"] + 1


def test_training_goes_on_from_given_weights(tmp_path: Path) -> None:
    weights = train(recipe(tmp_path / "first"))
    again = recipe(tmp_path / "second", model={"weights": str(weights)})
    model = run_module._build(again)
    assert torch.equal(model.synthesis.weight, load_model(weights).synthesis.weight)
    with pytest.raises(InputError, match="asks for vfi_conv3d"):
        run_module._build(
            again.model_copy(update={"model": ModelSection(name="vfi_conv3d", weights=weights)}),
        )


def test_a_loss_that_is_not_finite_names_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ls3d.training.task import EnhancementTask

    monkeypatch.setattr(EnhancementTask, "_distance", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(InputError, match=r"nan at step 0, clips \['a\d', 'a\d'\]"):
        train(recipe(tmp_path))


def test_held_out_clips_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"held_out names \['c'\]"):
        train(recipe(tmp_path, data={"held_out": ["c"]}))
