"""Training of classifiers: it learns, resumes to the same weights, converts and fine-tunes, names damaged files."""

from __future__ import annotations

import logging
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.labeled import damage, gray_set, write_gray_videos
from torch import Tensor

from ls3d.data.decoded import save_decoded
from ls3d.errors import InputError, TrainingStoppedError
from ls3d.evaluation.recognition import ViewProtocol, evaluate_recognition
from ls3d.models import RecognitionNet, create_model, load_model, read_metadata
from ls3d.nn import LS3DConv3d
from ls3d.training import build_recipe, recipe_for_videos, train
from ls3d.training._network import create_or_load
from ls3d.training.recipe.sections import BaseRecipe, ModelSection
from ls3d.training.recognition.loaders import open_split
from ls3d.training.recognition.optimizer import optimizer_groups
from ls3d.training.recognition.recipe import ClassificationData, ClassificationOptimization, ClassificationRecipe

ARGUMENTS = {"num_classes": 2, "width": 4}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "gray.npz"
    save_decoded(gray_set(), path)
    return path


def recipe(root: Path, output: Path, **changes: Any) -> ClassificationRecipe:
    """Six steps in three epochs; ``changes`` are merged into the sections."""
    values: dict[str, Any] = {
        "kind": "classification",
        "model": {"name": "r3d_18", "arguments": ARGUMENTS},
        "data": {"root": str(root), "validation": ["S3"], "frames": 2, "fps": 2.0, "size": [16, 16]},
        "optimization": {"steps": 6, "batch_size": 4, "warm_up": 1},
        "steps_per_epoch": 2,
        "accelerator": "cpu",
        "output": str(output),
    }
    for key, change in changes.items():
        values[key] = {**values[key], **change} if isinstance(change, dict) else change
    made = build_recipe(values, "recipe")
    assert isinstance(made, ClassificationRecipe)
    return made


def train_until(step: int, interrupted: BaseRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train, and raise an error at the beginning of ``step``."""
    from ls3d.training.recognition.module import ClassificationModule

    original = ClassificationModule.training_step

    def training_step(module: ClassificationModule, batch: Any, batch_idx: int) -> Tensor:
        if module.global_step == step:
            raise SystemError("killed")
        return original(module, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ClassificationModule, "training_step", training_step)
        with pytest.raises(SystemError):
            train(interrupted)


def test_resumed_training_equals_uninterrupted_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"mixup": 0.2, "accumulate": 2, "ema": 0.5}
    whole = train(recipe(data, tmp_path / "whole", optimization=options))
    stopped = recipe(data, tmp_path / "stopped", optimization=options)
    train_until(3, stopped, monkeypatch)
    assert read_metadata(train(stopped))["sha256"] == read_metadata(whole)["sha256"]


def test_a_signal_within_a_batch_stops_after_it(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of a batch whose gradients are added up are not separated."""
    from ls3d.training.recognition.module import ClassificationModule

    options = {"accumulate": 4, "batch_size": 4, "frozen_norms": True}
    whole = train(recipe(data, tmp_path / "whole", optimization=options))
    stopped = recipe(data, tmp_path / "stopped", optimization=options)
    original = ClassificationModule.training_step

    def training_step(module: ClassificationModule, batch: Any, batch_idx: int) -> Tensor:
        if module.global_step == 3 and batch_idx % 4 == 1:
            signal.raise_signal(signal.SIGINT)
        return original(module, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ClassificationModule, "training_step", training_step)
        with pytest.raises(TrainingStoppedError, match="stopped by SIGINT after step 4"):
            train(stopped)
    assert read_metadata(train(stopped))["sha256"] == read_metadata(whole)["sha256"]


def test_training_learns_and_its_weights_classify(data: Path, tmp_path: Path) -> None:
    weights = train(recipe(data, tmp_path / "run", optimization={"steps": 40}, steps_per_epoch=40))
    metadata = read_metadata(weights)
    assert metadata["classes"] == ["dark", "bright"]
    assert metadata["clip"] == {"frames": 2, "fps": 2.0, "size": [16, 16], "share": 0.875, "subtract_mean": False}
    assert metadata["preprocessing"]["value_range"] == [0, 255]
    assert metadata["metrics"]["top1"] == 100
    report = evaluate_recognition(weights, data, ViewProtocol(clips=2), groups=["S3"], device="cpu")
    assert report.accuracy.top1 == 1
    assert report.confusion.tolist() == [[1, 0], [0, 1]]


def test_accumulated_gradients_are_those_of_the_whole_batch(data: Path, tmp_path: Path) -> None:
    """With the normalizations frozen; in training they see single parts."""
    options = {"frozen_norms": True, "optimizer": "sgd", "steps": 2, "clip_gradient": 1e9}
    weights = [
        load_model(train(recipe(data, tmp_path / str(parts), optimization={**options, "accumulate": parts})))
        for parts in (1, 4)
    ]
    for one, other in zip(weights[0].parameters(), weights[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_fine_tuning_replaces_the_classifier_and_converts(data: Path, tmp_path: Path) -> None:
    """As table 8 of the LS3D paper begins: with LS3D convolutions, the outputs are those of the plain network."""
    first = train(recipe(data, tmp_path / "first"))
    plain = load_model(first).eval()
    arguments = {**ARGUMENTS, "ls3d": True}
    converted = create_or_load(ModelSection(name="r3d_18", arguments=arguments, weights=first)).eval()
    assert any(isinstance(layer, LS3DConv3d) for layer in converted.modules())
    clip = torch.rand(1, 3, 2, 16, 16)
    torch.testing.assert_close(converted(clip), plain(clip), atol=1e-4, rtol=1e-4)
    second = recipe(data, tmp_path / "second", model={"arguments": arguments, "weights": str(first)})
    assert read_metadata(train(second))["arguments"] == arguments
    other = create_or_load(ModelSection(name="r3d_18", arguments={**ARGUMENTS, "num_classes": 5}, weights=first))
    assert other.eval()(clip).shape == (1, 5)


def test_the_number_of_classes_must_be_that_of_the_videos(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"num_classes is 3, but .*gray\.npz has 2 classes"):
        train(recipe(data, tmp_path / "run", model={"arguments": {**ARGUMENTS, "num_classes": 3}}))


@pytest.mark.parametrize(
    ("section", "change", "sentence"),
    [
        ("data", {"share": [1.0, 0.5]}, "share"),
        ("data", {"validation": 1.5}, "validation 1.5 is not a share"),
        ("optimization", {"accumulate": 3}, "accumulate is 3, which does not divide batch_size, 4"),
        ("optimization", {"milestones": [0.5, 0.2]}, "not increasing"),
        ("optimization", {"offset_limit": 4.0}, "r3d_18 has no LS3DConv3d to bound"),
        ("model", {"name": "vfi_ls3d", "arguments": {}}, "is for interpolation, the recipe's kind is classification"),
        ("model", {"name": "c3d", "arguments": {}}, r"data\.frames is 2, c3d needs 16"),
    ],
)
def test_mistakes_in_a_recipe_are_named(tmp_path: Path, section: str, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        recipe(tmp_path, tmp_path / "run", **{section: change})


def test_schedules() -> None:
    def rates(**options: Any) -> list[float]:
        section = ClassificationOptimization(steps=100, warm_up=10, **options)
        return [section.rate(step) for step in range(100)]

    cosine = rates()
    assert cosine[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert cosine[55] == pytest.approx(0.5)
    assert cosine[99] < 0.001
    steps = rates(schedule="steps", milestones=[0.3, 0.6])
    assert [steps[29], steps[30], steps[59], steps[60]] == pytest.approx([1, 0.1, 0.1, 0.01])


def test_rates_decrease_towards_the_input() -> None:
    network = create_model("r3d_18", **ARGUMENTS, ls3d="layer4.*")
    assert isinstance(network, RecognitionNet)
    options = ClassificationOptimization(steps=1, learning_rate=1.0, layer_decay=0.5, offset_factor=0.1)
    groups = {group["name"]: group for group in optimizer_groups(network, options)}
    assert groups["fc"]["lr"] == 1
    assert groups["layer4"]["lr"] == 0.5
    assert groups["layer4.offsets"]["lr"] == pytest.approx(0.05)
    assert groups["stem"]["lr"] == 0.5**5
    assert groups["stem"]["weight_decay"] > groups["stem.scales"]["weight_decay"] == 0
    parameters = [id(parameter) for group in groups.values() for parameter in group["params"]]
    assert sorted(parameters) == sorted(id(parameter) for parameter in network.parameters())


def test_published_splits_are_found(tmp_path: Path) -> None:
    root = write_gray_videos(tmp_path / "set")
    for old, new in (("S1", "train"), ("S2", "val"), ("S3", "test")):
        (root / old).rename(root / new)
    split = open_split(ClassificationData(root=root))
    assert {video.group for video in split.training} == {"train"}
    assert {video.group for video in split.validation} == {"val"}


def test_without_groups_a_share_of_each_class_is_held_out(tmp_path: Path) -> None:
    split = open_split(ClassificationData(root=write_gray_videos(tmp_path / "set", 4, groups=False), validation=0.25))
    assert [video.label for video in split.validation] == [0, 1]
    assert len(split.training) == 6


def test_damaged_files_do_not_stop_a_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_gray_videos(tmp_path / "set")
    damage(root / "S1" / "dark" / "dark0.mp4")
    with caplog.at_level(logging.WARNING):
        weights = train(recipe(root, tmp_path / "run"))
    first, *others = [record.message for record in caplog.records if "dark0" in record.message]
    assert "can't be decoded and is skipped" in first
    assert others == ["1 videos could not be decoded and were skipped: S1/dark/dark0.mp4"]
    report = evaluate_recognition(weights, root, ViewProtocol(clips=1), device="cpu")
    assert list(report.unreadable) == ["S1/dark/dark0.mp4"]
    assert len(report.videos) == 5


@pytest.mark.slow
def test_a_twentieth_of_the_files_is_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pictures, header or everything: training and evaluation finish, and name exactly these files."""
    root = write_gray_videos(tmp_path / "set", 30)
    damaged = {"S1/dark/dark3.mp4", "S2/bright/bright7.mp4", "S3/dark/dark20.mp4"}
    damage(root / "S1/dark/dark3.mp4")
    damage(root / "S3/dark/dark20.mp4")
    (root / "S2/bright/bright7.mp4").write_bytes(b"no video")
    with caplog.at_level(logging.WARNING):
        weights = train(recipe(root, tmp_path / "run", optimization={"steps": 12}, steps_per_epoch=6))
    named = set(re.findall(r"S\d/\w+/\w+\.mp4", "\n".join(record.message for record in caplog.records)))
    assert named == damaged
    report = evaluate_recognition(weights, root, ViewProtocol(clips=1), device="cpu")
    assert set(report.unreadable) == damaged
    assert len(report.videos) == 57


def test_a_folder_needs_no_recipe(tmp_path: Path) -> None:
    root = write_gray_videos(tmp_path / "set", groups=False)
    made = recipe_for_videos(root, "r3d_18", ["optimization.steps=7", "model.arguments.width=4"])
    assert isinstance(made, ClassificationRecipe)
    assert made.optimization.steps == 7
    assert made.model.arguments == {"num_classes": 2, "width": 4}
    assert made.data.flip
    (root / "dark").rename(root / "left")
    made = recipe_for_videos(root, "r3d_18")
    assert isinstance(made, ClassificationRecipe)
    assert not made.data.flip


def test_color_jitter_changes_brightness_and_contrast(data: Path, tmp_path: Path) -> None:
    made = recipe(data, tmp_path, data={"color": 0.5})
    network = create_model("r3d_18", **ARGUMENTS)
    module = made.training_task(network).module()
    clips = 100 + 5 * torch.randn(4, 3, 2, 8, 8)
    changed = module._jitter_color(clips, np.random.default_rng(0))
    for before, after in zip(clips, changed, strict=True):
        slope = after.std() / before.std()
        assert 0.5 <= slope <= 1.5
        torch.testing.assert_close(after, (before - before.mean()) * slope + after.mean(), atol=0.01, rtol=1e-4)
