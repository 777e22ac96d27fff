"""A recipe that takes a second, and how to stop a training in its middle."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from ls3d.training import Recipe, train


def recipe(output: Path, **changes: Any) -> Recipe:
    """Six steps in three epochs; ``changes`` are merged into the sections."""
    values: dict[str, Any] = {
        "model": {"name": "vfi_ls3d_plus_m", "arguments": {"width": 8, "detail": 8}},
        "data": {"root": "clips", "crop": 32, "scale": [1, 1], "held_out": ["b"]},
        "optimization": {"steps": 6, "batch_size": 2, "warm_up": 1, "coarse_loss": 1.0, "ema": 0.5},
        "steps_per_epoch": 2,
        "accelerator": "cpu",
        "output": str(output),
        "half_weights": True,
        "facts": {"license": "CC0"},
    }
    for key, change in changes.items():
        values[key] = {**values[key], **change} if isinstance(change, dict) else change
    return Recipe.model_validate(values)


def train_until(step: int, what: Recipe, monkeypatch: pytest.MonkeyPatch, resume: bool = True) -> None:
    """Train, and die when ``step`` begins."""
    from ls3d.training.enhancement.module import EnhancementTask

    original = EnhancementTask.training_step

    def killed(task: Any, batch: Any, index: int) -> Any:
        if task.global_step == step:
            raise SystemError("killed")
        return original(task, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(EnhancementTask, "training_step", killed)
        with pytest.raises(SystemError):
            train(what, resume)


def losses(output: Path) -> dict[int, list[str]]:
    """The losses as logged, digit by digit, by step, of the last run into this folder."""
    path = sorted(output.glob("log/version_*/metrics.csv"))[-1]
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]
    return {int(row["step"]): [row["loss"], row.get("adversarial", ""), row.get("discriminator", "")] for row in rows}
