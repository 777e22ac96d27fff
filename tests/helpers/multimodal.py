"""A small set of videos with sound: one modality shows the class, the others are noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ls3d.data.decoded import DecodedFrames
from ls3d.data.labeled import LabeledSet, LabeledVideo
from ls3d.data.sound import DecodedSound
from ls3d.training import build_recipe
from ls3d.training.gradient_blending.recipe import GradientBlendingRecipe

CLASSES = ("low", "high")


def multimodal_set(per_class: int = 6, groups: int = 3, sound: bool = True) -> LabeledSet:
    """Dark videos with a low tone and bright ones with a high tone, of the groups S0, S1, ..."""
    videos = []
    time = np.arange(16_000) / 16_000
    for label, name in enumerate(CLASSES):
        for number in range(per_class):
            rng = np.random.default_rng((label, number))
            pixels = (80 + 90 * label + rng.integers(-60, 60, (5, 16, 16, 3))).astype(np.uint8)
            tone = 0.2 * np.sin(2 * np.pi * (300 + 2000 * label) * time) + 0.1 * rng.standard_normal(len(time))
            wave = DecodedSound(tone.astype(np.float32)) if sound else None
            group = f"S{number % groups}"
            videos.append(LabeledVideo(f"{group}/{name}/{number}", label, group, DecodedFrames(pixels, 5.0, 1.0), wave))
    videos.sort(key=lambda video: video.name)
    return LabeledSet("tones", CLASSES, tuple(videos))


def use_set(monkeypatch: pytest.MonkeyPatch, labeled: LabeledSet) -> None:
    """Let recipes open this set, whatever their ``data.root``."""
    monkeypatch.setattr("ls3d.training.recognition.loaders.open_labeled_set", lambda *_: labeled)


def recipe(output: Path, **changes: Any) -> GradientBlendingRecipe:
    """RGB and flow, six steps in three epochs; ``changes`` are merged into the sections."""
    values: dict[str, Any] = {
        "kind": "gradient_blending",
        "model": {"name": "late_fusion", "arguments": arguments()},
        "data": {"root": "set", "validation": ["S2"], "frames": 2, "fps": 2.0, "size": [16, 16]},
        "optimization": {"steps": 6, "batch_size": 4, "warm_up": 1},
        "blending": {"weights": "online", "epochs": 1, "held_out": 0.5},
        "steps_per_epoch": 2,
        "accelerator": "cpu",
        "output": str(output),
    }
    for key, change in changes.items():
        values[key] = {**values[key], **change} if isinstance(change, dict) else change
    made = build_recipe(values, "recipe")
    assert isinstance(made, GradientBlendingRecipe)
    return made


def arguments(**changes: Any) -> dict[str, Any]:
    """Arguments of a small network for RGB and flow, each with its own head."""
    tower = {"width": 4, "blocks": [1, 1, 1, 1]}
    values = {"spectrogram": None, "num_classes": 2, "unimodal_heads": True}
    return {**values, "clip_arguments": tower, "flow_arguments": tower, **changes}
