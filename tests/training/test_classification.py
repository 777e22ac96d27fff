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
from helpers.marks import slow_except
from torch import Tensor, nn

from ls3d.data.decoded import save_decoded
from ls3d.data.labeled_clips import Augmentation, RandomClips
from ls3d.errors import InputError, TrainingStoppedError
from ls3d.evaluation.recognition import ViewProtocol, evaluate_recognition
from ls3d.inference import normalize_clips
from ls3d.inference.classifier import preprocessing_of
from ls3d.models import RecognitionNet, create_model, load_model, read_metadata, save_weights
from ls3d.models.outline import make_outline
from ls3d.nn import LS3DConv3d
from ls3d.training import build_recipe, recipe_for_videos, train
from ls3d.training._network import create_or_load
from ls3d.training.recipe.sections import BaseRecipe, ModelSection
from ls3d.training.recognition.loaders import open_split
from ls3d.training.recognition.mixing import draw_mixture
from ls3d.training.recognition.optimizer import optimizer_groups
from ls3d.training.recognition.recipe import ClassificationData, ClassificationOptimization, ClassificationRecipe
from ls3d.training.state import load_state

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
    options = {"mixup": 0.2, "cutmix": 1.0, "accumulate": 2, "ema": 0.5, "precise_norms": 2}
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


@pytest.mark.parametrize("compiled", slow_except([False, True], [False]))
def test_a_state_holds_each_parameter_once(compiled: bool, data: Path, tmp_path: Path) -> None:
    """Under two names, sharded parameters can't be loaded."""
    train(recipe(data, tmp_path / "run", compile=compiled))
    names = load_state(tmp_path / "run" / "last.ckpt").values["state_dict"].keys()
    network = create_model("r3d_18", num_classes=2, width=4)
    assert names == {f"model.{name}" for name in network.state_dict()}


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


def test_the_default_number_of_classes_may_be_named(tmp_path: Path) -> None:
    weights = save_weights(create_model("r3d_18", width=4), tmp_path / "default.safetensors")
    arguments = {"width": 4, "num_classes": 400}
    network = create_or_load(ModelSection(name="r3d_18", arguments=arguments, weights=weights))
    assert network.require_config().arguments == arguments


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
        ("optimization", {"precise_norms": 2, "frozen_norms": True}, "frozen_norms keeps the statistics"),
        ("optimization", {"lengths": {"total": 3, "warm_up": 3}}, r"lengths: warm_up is 3, expected less than total"),
        ("optimization", {"lengths": {"total": 3, "every": 1, "milestones": [2]}}, "exclude each other"),
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


def test_lengths_are_in_epochs_or_steps_and_scaled_to_given_steps() -> None:
    def options(**changes: Any) -> ClassificationOptimization:
        values = {"lengths": {"epoch": 1000, "total": 10, "warm_up": 1, "every": 3}, "batch_size": 10, **changes}
        return ClassificationOptimization(**values)

    published = options()
    assert (published.steps, published.warm_up, published.milestones) == (1000, 100, [0.4, 0.7])
    assert options(batch_size=30).steps == 334  # rounded up
    shorter = options(steps=50)
    assert (shorter.steps, shorter.warm_up, shorter.milestones) == (50, 5, [0.4, 0.7])
    again = ClassificationOptimization.model_validate(shorter.model_dump())
    assert again == shorter
    in_steps = options(lengths={"total": 45, "milestones": [20, 30, 40]}, schedule="steps")
    assert in_steps.steps == 45
    assert [in_steps.rate(step) for step in (19, 20, 29, 30, 39, 40)] == pytest.approx([1, 0.1, 0.1, 0.01, 0.01, 0.001])


def test_the_rate_is_proportional_to_the_batch() -> None:
    options = ClassificationOptimization(steps=1, learning_rate=0.01, reference_batch=8, batch_size=512)
    assert options.scaled_rate == pytest.approx(0.64)
    network = create_model("r3d_18", **ARGUMENTS)
    assert isinstance(network, RecognitionNet)
    assert {group["lr"] for group in optimizer_groups(network, options)} == {options.scaled_rate}
    assert ClassificationOptimization(steps=1, learning_rate=0.01, batch_size=512).scaled_rate == 0.01


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


@pytest.mark.parametrize(
    ("name", "first", "middle"), [("i3d_inception", "conv_1a", "mixed_4c"), ("c3d", "conv1a", None)]
)
def test_rates_do_not_depend_on_how_a_network_is_divided(name: str, first: str, middle: str | None) -> None:
    """Twelve steps from the classifier of Inception-I3D to its first layer decrease the rate as five of a ResNet."""
    network = make_outline(name, {})
    assert isinstance(network, RecognitionNet)
    options = ClassificationOptimization(steps=1, learning_rate=1.0, layer_decay=0.7, bias_factor=2.0)
    groups = {group["name"]: group for group in optimizer_groups(network, options)}
    assert groups[network.classifier]["lr"] == 1
    assert groups[first]["lr"] == pytest.approx(0.7**5)
    assert groups[f"{first}.scales"]["lr"] == pytest.approx(2 * 0.7**5)
    if middle is not None:
        assert groups[middle]["lr"] == pytest.approx(0.7**2.5)


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


def test_cutmix_shows_another_clip_in_a_rectangle() -> None:
    rng = np.random.default_rng(0)
    clips = torch.arange(4.0).view(4, 1, 1, 1, 1).expand(4, 3, 2, 20, 30)
    weights = []
    for _ in range(200):
        mixture = draw_mixture(rng, 4, (20, 30), mixup=0.0, cutmix=1.0)
        assert mixture is not None
        mixed = mixture.mix(clips, clips[torch.from_numpy(mixture.order)])
        for clip, own, other in zip(mixed, range(4), mixture.order, strict=True):
            if own == other:
                continue
            is_other = (clip == other).all(dim=0).all(dim=0)
            assert torch.equal(clip, torch.where(is_other, float(other), float(own)).expand_as(clip))
            assert 1 - is_other.float().mean().item() == pytest.approx(mixture.weight)
            rows, columns = is_other.any(dim=1), is_other.any(dim=0)
            assert torch.equal(is_other, rows[:, None] & columns)  # a rectangle
            weights.append(mixture.weight)
    assert min(weights) < 0.2
    assert max(weights) > 0.9


def test_each_batch_is_mixed_in_one_of_two_ways() -> None:
    rng = np.random.default_rng(0)
    mixtures = [draw_mixture(rng, 2, (8, 8), mixup=0.2, cutmix=1.0) for _ in range(400)]
    cut = sum(mixture is not None and mixture.box is not None for mixture in mixtures)
    assert 160 < cut < 240
    assert draw_mixture(rng, 2, (8, 8), mixup=0.0, cutmix=0.0) is None
    only = draw_mixture(np.random.default_rng(5), 2, (8, 8), mixup=0.2, cutmix=0.0)
    assert only is not None
    assert only.weight == np.random.default_rng(5).beta(0.2, 0.2)


def test_checkpointing_activations_changes_no_weights(data: Path, tmp_path: Path) -> None:
    digests = [
        read_metadata(train(recipe(data, tmp_path / str(enable), grad_checkpointing=enable)))["sha256"]
        for enable in (False, True)
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_precise_norms_are_the_means_over_batches(data: Path, tmp_path: Path, ema: float) -> None:
    """Compared with the statistics of the stem's outputs, computed from the weights and the clips."""
    options = {"precise_norms": 3, "steps": 5, "ema": ema}
    made = recipe(data, tmp_path / "run", optimization=options)
    trained = load_model(train(made))
    assert isinstance(trained, RecognitionNet)
    samples = iter(RandomClips(open_split(made.data).training, made.data.timing, (16, 16), Augmentation(), made.seed))
    conv, norm = trained.get_submodule("stem.0"), trained.get_submodule("stem.1")
    means, variances = [], []
    with torch.no_grad():
        for _ in range(3):
            clips = torch.stack([next(samples)["clip"] for _ in range(4)])
            outputs = conv(normalize_clips(clips, preprocessing_of(trained))).transpose(0, 1).flatten(1).double()
            means.append(outputs.mean(dim=1))
            variances.append(outputs.var(dim=1))
    assert isinstance(norm, nn.BatchNorm3d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_mean.double(), torch.stack(means).mean(dim=0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.running_var.double(), torch.stack(variances).mean(dim=0), rtol=1e-4, atol=1e-4)


def test_downloaded_weights_are_fine_tuned(tmp_path: Path) -> None:
    root = write_gray_videos(tmp_path / "set", groups=False)
    with pytest.raises(InputError, match="`ls3d weights get i3d_inception` downloads them"):
        recipe_for_videos(root, "i3d_inception")
    weights = tmp_path / "cache" / "ls3d" / "weights" / "i3d_inception.safetensors"
    weights.parent.mkdir(parents=True)
    save_weights(create_model("i3d_inception"), weights, half=True)
    made = recipe_for_videos(root, "i3d_inception")
    assert isinstance(made, ClassificationRecipe)
    assert made.model.weights == weights
    assert made.optimization.layer_decay == 0.7
    network = create_or_load(made.model)
    assert isinstance(network, RecognitionNet)
    assert network.num_classes == 2
