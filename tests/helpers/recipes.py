"""A recipe that trains in a second, and how to interrupt its training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from ls3d.data.windows import ClipSample
from ls3d.training import AnyEnhancementRecipe, build_recipe, require_enhancement, train
from ls3d.training.recipe.sections import BaseRecipe


def recipe(output: Path, **changes: Any) -> AnyEnhancementRecipe:
    """Six steps in three epochs; ``changes`` are merged into the sections."""
    values: dict[str, Any] = {
        "kind": "interpolation",
        "model": {"name": "vfi_ls3d_plus_s", "arguments": {"width": 8}},
        "data": {"root": "clips", "crop": 32, "scale": [1, 1], "held_out": ["b"]},
        "optimization": {"steps": 6, "batch_size": 2, "warm_up": 1, "coarse_loss": 1.0, "ema": 0.5},
        "steps_per_epoch": 2,
        "accelerator": "cpu",
        "output": str(output),
        "half_weights": True,
        "metadata": {"license": "CC0"},
    }
    for key, change in changes.items():
        values[key] = {**values[key], **change} if isinstance(change, dict) else change
    return require_enhancement(build_recipe(values, "recipe"))


def train_until(step: int, interrupted: BaseRecipe, monkeypatch: pytest.MonkeyPatch, resume: bool = True) -> None:
    """Train, and raise an error at the beginning of ``step``."""
    from ls3d.training.enhancement.module import EnhancementModule

    original = EnhancementModule.training_step

    def training_step(module: EnhancementModule, batch: ClipSample, batch_idx: int) -> Tensor:
        if module.global_step == step:
            raise SystemError("killed")
        return original(module, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(EnhancementModule, "training_step", training_step)
        with pytest.raises(SystemError):
            train(interrupted, resume)


def losses(output: Path) -> dict[int, list[str]]:
    """The logged losses of the last run in this folder, by step, as text."""
    path = sorted(output.glob("log/version_*/metrics.csv"))[-1]
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]
    return {int(row["step"]): [row["loss"], row.get("adversarial", ""), row.get("discriminator", "")] for row in rows}
