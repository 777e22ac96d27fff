"""Training with Gradient-Blending: measured and fixed weights, resuming, missing modalities, what recipes refuse."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.multimodal import arguments, multimodal_set, recipe, use_set
from torch import Tensor

from ls3d.errors import InputError
from ls3d.models import RecognitionNet, load_model, read_metadata
from ls3d.models.recognition.fusion import LateFusionNet
from ls3d.training import train
from ls3d.training.gradient_blending.callback import GradientBlending
from ls3d.training.gradient_blending.estimate import Estimator
from ls3d.training.gradient_blending.module import GradientBlendingModule, prediction_of
from ls3d.training.gradient_blending.recipe import GradientBlendingRecipe
from ls3d.training.gradient_blending.task import GradientBlendingTask
from ls3d.training.gradient_blending.weights import Measurement, blend_weights

SOUND = {"model": {"arguments": arguments(flow=None, flow_arguments={}, spectrogram="audio_resnet_18")}}


@pytest.fixture(autouse=True)
def _set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    use_set(monkeypatch, multimodal_set())


def history(made: GradientBlendingRecipe) -> list[dict[str, Any]]:
    content = json.loads((made.output / "blending.json").read_text())
    entries: list[dict[str, Any]] = content["history"]
    return entries


def task_of(made: GradientBlendingRecipe) -> GradientBlendingTask:
    from ls3d.training._network import build_network

    torch.manual_seed(0)
    network = build_network(made)
    task = made.training_task(network)
    assert isinstance(task, GradientBlendingTask)
    return task


def killed_at(
    step: int, method: type[Any], name: str, made: GradientBlendingRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train, and raise an error when a method is called for the ``step``-th time."""
    original = getattr(method, name)
    calls = 0

    def counted(*values: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > step:
            raise SystemError("killed")
        return original(*values, **options)

    with monkeypatch.context() as patch:
        patch.setattr(method, name, counted)
        with pytest.raises(SystemError):
            train(made)


def test_online_weights_are_measured_each_super_epoch(tmp_path: Path) -> None:
    made = recipe(tmp_path / "run")
    metadata = read_metadata(train(made))
    entries = history(made)
    assert [(entry["super_epoch"], entry["step"]) for entry in entries] == [(0, 0), (1, 2), (2, 4)]
    previous = None
    for entry in entries:
        found = {
            name: Measurement(tuple(values["training"]), tuple(values["held_out"]))
            for name, values in entry["measurements"].items()
        }
        assert set(found) == {"clip", "flow", "joint"}
        assert entry["weights"] == blend_weights(found, previous)
        assert sum(entry["weights"].values()) == pytest.approx(1)
        previous = entry["weights"]
    assert metadata["blending"] == [
        {key: entry[key] for key in ("super_epoch", "step", "weights")} for entry in entries
    ]
    assert metadata["modalities"] == ["clip", "flow"]
    assert "top1" in metadata["metrics"]
    assert isinstance(load_model(made.output / "weights.safetensors"), LateFusionNet)


def test_offline_weights_are_measured_once_over_the_whole_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    original = GradientBlendingModule.losses

    def losses(module: Any, batch: Any, rng: Any, heads: tuple[str, ...] = ()) -> dict[str, Tensor]:
        steps.extend(heads)
        return original(module, batch, rng, heads)

    monkeypatch.setattr(GradientBlendingModule, "losses", losses)
    made = recipe(tmp_path / "run", blending={"weights": "offline", "epochs": None})
    train(made)
    assert [entry["super_epoch"] for entry in history(made)] == [0]
    assert {name: steps.count(name) for name in steps} == {"clip": 6, "flow": 6, "joint": 6}


def test_a_measurement_is_that_of_a_training_of_the_head_alone(tmp_path: Path) -> None:
    """Only the layers of the head learn; the losses are those of the networks before and after."""
    made = recipe(tmp_path / "run", blending={"weights": "offline", "epochs": None})
    task = task_of(made)
    estimator = Estimator(made, task.split.training, task.held_out, task.preprocessing)
    state = {name: value.clone() for name, value in task.fused.state_dict().items()}
    networks: list[LateFusionNet] = []

    class Recording(Estimator):
        def _train(self, module: GradientBlendingModule, head: str, super_epoch: int) -> Any:
            networks.append(module.network)
            return super()._train(module, head, super_epoch)

    recording = Recording(made, task.split.training, task.held_out, task.preprocessing)
    results = [drain(each.measure("clip", state, 0, torch.device("cpu"))) for each in (estimator, recording)]
    assert results[0] == results[1]
    measured = results[0]
    (trained,) = networks
    changed = {
        name.split(".")[0] for name, value in trained.state_dict().items() if not torch.equal(value, state[name])
    }
    assert changed == {"visual", "visual_fc"}
    assert measured.training[0] == pytest.approx(np.log(2), abs=0.1)
    module = GradientBlendingModule(trained.eval(), made, task.preprocessing)
    from ls3d.training.gradient_blending.loaders import view_loader

    losses = []
    for batch in view_loader(made, task.held_out, task.format):
        with torch.no_grad():
            inputs = {name: values.flatten(0, 1) for name, values in batch["inputs"].items()}
            logits = trained.forward_heads(module.normalize(inputs), ("clip",))["clip"]
            losses.append(torch.nn.functional.cross_entropy(logits, batch["label"], reduction="none"))
    assert measured.held_out[1] == pytest.approx(float(torch.cat(losses).mean()), abs=1e-5)


def drain(steps: Generator[None, None, Measurement]) -> Measurement:
    """The result of a generator."""
    results: list[Measurement] = []

    def collect() -> Iterator[None]:
        results.append((yield from steps))

    for _ in collect():
        pass
    return results[0]


def test_held_out_videos_are_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    original = GradientBlendingModule.note_missing

    def note_missing(module: Any, batch: Any) -> None:
        seen.update(batch["name"])
        original(module, batch)

    monkeypatch.setattr(GradientBlendingModule, "note_missing", note_missing)
    made = recipe(tmp_path / "run")
    task = task_of(made)
    assert {video.group for video in task.held_out} in ({"S0"}, {"S1"})
    train(made)
    assert seen
    assert not seen & {video.name for video in (*task.held_out, *task.split.validation)}


@pytest.mark.parametrize(
    ("method", "name", "calls"),
    [
        (GradientBlendingModule, "training_step", 3),  # within the second super-epoch
        pytest.param(Estimator, "_train", 4, marks=pytest.mark.slow),  # while its second head is measured
    ],
)
def test_a_killed_training_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: type[Any], name: str, calls: int
) -> None:
    options = {
        "blending": {"weights": "online", "epochs": 2, "held_out": 0.5},
        "optimization": {"steps": 8, "warm_up": 1, "batch_size": 4},
    }
    whole = recipe(tmp_path / "whole", **options)
    train(whole)
    stopped = recipe(tmp_path / "stopped", **options)
    killed_at(calls + 2 * (name == "training_step"), method, name, stopped, monkeypatch)
    before = history(stopped)[-1]
    measured: list[str] = []
    original = Estimator.measure

    def measure(self: Estimator, head: str, *values: Any) -> Any:
        measured.append(head)
        return original(self, head, *values)

    monkeypatch.setattr(Estimator, "measure", measure)
    weights = train(stopped)
    assert history(stopped) == history(whole)
    assert read_metadata(weights)["sha256"] == read_metadata(whole.output / "weights.safetensors")["sha256"]
    assert set(measured) & set(before["measurements"]) == set()


def test_records_of_another_training_are_not_used(tmp_path: Path) -> None:
    made = recipe(tmp_path / "run", blending={"weights": "offline"}, optimization={"steps": 2})
    train(made)
    first = history(made)
    other = recipe(tmp_path / "run", blending={"weights": "offline"}, optimization={"steps": 2}, seed=1)
    train(other, resume=False)
    assert history(other)[0]["measurements"] != first[0]["measurements"]


def test_fixed_weights_are_those_of_the_losses(tmp_path: Path) -> None:
    """Naive joint training changes nothing in the other heads, and a head without weight changes nothing either."""
    made = recipe(
        tmp_path / "run",
        blending={"weights": {"joint": 1.0}, "epochs": None},
        optimization={"steps": 1, "weight_decay": 0.0},
    )
    task = task_of(made)
    module = task.module()
    batch = next(iter(task.loaders(lambda: 0).training))
    losses = module.losses(batch, np.random.default_rng(0))
    assert list(losses) == ["clip", "flow", "joint"]
    weights = {"clip": 0.25, "flow": 0.75, "joint": 0.0}
    module.weights = weights
    total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
    total.backward()
    gradients = {name: parameter.grad for name, parameter in module.network.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    assert all(not gradients[name].any() for name in gradients if name.startswith("fc"))  # type: ignore[union-attr]
    assert not (made.output / "blending.json").exists()


def test_videos_without_sound_are_masked_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    labeled = multimodal_set()
    silent = {"S0/low/0", "S1/high/1"}
    videos = tuple(replace(video, sound=None) if video.name in silent else video for video in labeled.videos)
    use_set(monkeypatch, replace(labeled, videos=videos))
    fixed = {"weights": {"joint": 1.0}, "epochs": None, "held_out": 0.0}
    for missing, message in (
        ("mask", "2 videos have no sound, which was masked: S0/low/0, S1/high/1"),
        ("drop", "2 videos could not be decoded and were skipped"),
    ):
        made = recipe(tmp_path / missing, data={"missing": missing}, blending=fixed, optimization={"steps": 2}, **SOUND)
        with caplog.at_level(logging.WARNING):
            train(made)
        assert message in caplog.text
    task = task_of(recipe(tmp_path / "run", data={"missing": "mask"}, blending=fixed, **SOUND))
    batch = next(iter(task.loaders(lambda: 0).training))
    batch["present"]["spectrogram"][:] = torch.tensor([True, False, False, True])
    losses = task.module().eval().losses(batch, np.random.default_rng(0))
    batch["label"][1:3] = 1 - batch["label"][1:3]
    others = task.module().eval().losses(batch, np.random.default_rng(0))
    torch.testing.assert_close(losses["spectrogram"], others["spectrogram"])
    assert not torch.isclose(losses["clip"], others["clip"])


def test_several_views_of_a_video_are_averaged(tmp_path: Path) -> None:
    task = task_of(recipe(tmp_path / "run", data={"clips": 3}))
    loader = task.loaders(lambda: 0).validation
    assert loader is not None
    batch = next(iter(loader))
    assert batch["inputs"]["clip"].shape[:2] == (4, 3)
    module = task.module().eval()
    with torch.no_grad():
        found = module.probabilities(batch, ("joint",))["joint"]
        inputs = module.normalize({name: values[1] for name, values in batch["inputs"].items()})
        torch.testing.assert_close(found[1], module.network(**inputs).softmax(1).mean(0))


def test_predictions_without_a_trained_joint_head_are_those_of_the_others(tmp_path: Path) -> None:
    weights = {"flow": 0.25, "clip": 0.75}
    task = task_of(recipe(tmp_path / "run", blending={"weights": weights, "epochs": None}))
    assert task.metadata()["prediction"] == weights
    loader = task.loaders(lambda: 0).validation
    assert loader is not None
    batch = next(iter(loader))
    batch["present"]["flow"][0] = False
    module = task.module().eval()
    with torch.no_grad():
        module.validation_step(batch, 0)
        heads = module.probabilities(batch, ("clip", "flow"))
    (found,) = module._scores
    torch.testing.assert_close(found[0], heads["clip"][0])
    torch.testing.assert_close(found[1:], (0.75 * heads["clip"] + 0.25 * heads["flow"])[1:])


def test_the_joint_head_predicts_once_it_was_trained() -> None:
    assert prediction_of([{"clip": 0.9, "joint": 0.1}, {"clip": 1.0, "joint": 0.0}]) == {"joint": 1.0}
    assert prediction_of([{"clip": 0.5, "flow": 0.0, "joint": 0.0}]) == {"clip": 1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "r3d_18", "arguments": {"num_classes": 2}}}, "is no late fusion"),
        ({"model": {"arguments": arguments(unimodal_heads=False)}}, "unimodal_heads=true"),
        ({"blending": {"epochs": None}}, "the length of a super-epoch"),
        ({"blending": {"held_out": 0.0}}, "held_out is 0"),
        ({"blending": {"weights": {"spectrogram": 1.0}}}, "no head spectrogram"),
        ({"blending": {"weights": {"joint": 0.0}}}, "are not positive"),
        ({"blending": {"weights": {}}}, "are not positive"),
        ({"optimization": {"mixup": 0.2}}, "can't be mixed"),
        ({"data": {"flow": "raft"}}, "data.flow"),
        ({"optimization": {"offset_limit": 5.0}}, "has no LS3DConv3d to bound"),
        ({"model": {"arguments": arguments(clip="c3d_bn", clip_arguments={})}}, "c3d_bn needs 16"),
    ],
)
def test_unsuitable_recipes_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        recipe(tmp_path, **changes)


def test_a_network_for_one_modality_is_a_baseline(tmp_path: Path) -> None:
    fixed = {"weights": {"joint": 1.0}, "epochs": None, "held_out": 0.5}
    made = recipe(tmp_path / "run", model={"arguments": arguments(flow=None)}, blending=fixed)
    network = load_model(train(made))
    assert isinstance(network, RecognitionNet)
    assert network.traits.modalities == ("clip",)


def test_callback_state_round_trip(tmp_path: Path) -> None:
    made = recipe(tmp_path)
    callback = GradientBlending(made, Estimator(made, (), (), task_of(made).preprocessing), {})
    callback.load_state_dict({"history": [{"super_epoch": 0, "weights": {"joint": 1.0}}]})
    assert callback.state_dict() == {"history": [{"super_epoch": 0, "weights": {"joint": 1.0}}]}
