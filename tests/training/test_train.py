"""Training: it learns, resumes to the same losses, and refuses what does not fit."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.recipes import losses, recipe, train_until

from ls3d.errors import InputError
from ls3d.metrics import psnr
from ls3d.models import create_model, load_enhancement_model, load_model, read_metadata
from ls3d.nn import make_channels_last
from ls3d.training import train
from ls3d.training._folder import locked
from ls3d.training._lightning_internals import set_logged_step
from ls3d.training._network import create_or_load
from ls3d.training.enhancement.loaders import split_clips
from ls3d.training.recipe.sections import ModelSection
from ls3d.training.state import load_state

pytestmark = pytest.mark.usefixtures("clips")


def test_resumed_training_equals_uninterrupted_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in the second epoch, the same call resumes from the end of the first one to the same weights."""
    whole = train(recipe(tmp_path / "whole"))
    stopped = recipe(tmp_path / "stopped")
    train_until(3, stopped, monkeypatch)
    resumed = train(stopped)
    one, other = load_model(whole).state_dict(), load_model(resumed).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert read_metadata(whole)["sha256"] == read_metadata(resumed)["sha256"]


def test_a_resumed_run_logs_the_same_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"optimization": {"steps": 21}, "steps_per_epoch": 7}
    whole, stopped = (recipe(tmp_path / name, **options) for name in ("whole", "stopped"))
    train(whole)
    train_until(8, stopped, monkeypatch)
    train(stopped)
    assert losses(whole.output) == {9: losses(stopped.output)[9], 19: losses(stopped.output)[19]}


def test_a_finished_training_is_not_changed(tmp_path: Path) -> None:
    """Also if it was interrupted between the last step and the weights file: that has the averaged weights, too."""
    weights = train(recipe(tmp_path))
    first = read_metadata(weights)
    assert read_metadata(train(recipe(tmp_path))) == first
    weights.unlink()
    again = read_metadata(train(recipe(tmp_path)))
    assert again["sha256"] == first["sha256"]
    assert again["metrics"]["psnr"] == first["metrics"]["psnr"]


def test_a_restart_replaces_the_checkpoint_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old weights are kept under another name, so that they don't pass for the result."""
    old = train(recipe(tmp_path))
    first, content = read_metadata(old), old.read_bytes()
    train_until(3, recipe(tmp_path), monkeypatch, resume=False)
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["last.ckpt"]
    assert not old.exists()
    assert (tmp_path / "weights.previous.safetensors").read_bytes() == content
    assert load_state(tmp_path / "last.ckpt").values["global_step"] == 2
    assert read_metadata(train(recipe(tmp_path)))["sha256"] == first["sha256"]


def test_a_restart_that_cannot_begin_loses_nothing(tmp_path: Path) -> None:
    weights = train(recipe(tmp_path, optimization={"steps": 1}))
    with pytest.raises(InputError, match="vfi_unknown"):
        train(recipe(tmp_path, model={"name": "vfi_unknown"}), resume=False)
    assert weights.exists()
    assert (tmp_path / "last.ckpt").exists()


def test_another_training_is_kept_out(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with locked(folder), pytest.raises(InputError, match=r"run: another process is training in this folder$"):
        train(recipe(folder))
    assert not folder.exists()


def test_what_a_killed_training_left_is_deleted(tmp_path: Path) -> None:
    (tmp_path / ".last.ckpt.0123.tmp").write_bytes(b"unfinished")
    (tmp_path / "lock").touch()
    train(recipe(tmp_path, optimization={"steps": 1}))
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "log", "tensorboard", "weights.safetensors"}


def test_weights_have_metadata(tmp_path: Path) -> None:
    path = train(recipe(tmp_path))
    metadata = read_metadata(path)
    assert metadata["architecture"] == "vfi_ls3d_plus_s"
    assert metadata["license"] == "CC0"
    assert metadata["steps"] == 6
    assert metadata["recipe"]["optimization"]["batch_size"] == 2
    assert {"psnr", "psnr_baseline"} <= set(metadata["metrics"])
    assert load_model(path)(torch.rand(1, 3, 2, 32, 32)).dtype == torch.float32
    with next(tmp_path.rglob("metrics.csv")).open() as file:
        assert any(row.get("psnr") for row in csv.DictReader(file))


def test_a_run_shorter_than_its_warm_up_is_trained(tmp_path: Path) -> None:
    """The moving average begins after the warm-up; it must not stay at the initial weights."""
    short = recipe(tmp_path, optimization={"steps": 2, "warm_up": 100, "learning_rate": 0.1}, half_weights=False)
    torch.manual_seed(short.seed)
    untrained = create_model(short.model.name, **short.model.arguments).state_dict()
    trained = load_model(train(short)).state_dict()
    assert any(not torch.equal(trained[name], untrained[name]) for name in trained)


def test_a_number_of_held_out_clips_is_evenly_spaced(tmp_path: Path) -> None:
    for count, names in ((0, []), (1, ["a3"]), (2, ["a2", "b"])):
        kept, held_out = split_clips(recipe(tmp_path, data={"held_out": count}).data)
        assert [clip.name for clip in held_out] == names
        assert len(kept) == 4 - count
    with pytest.raises(InputError, match="held_out is 4, but clips holds 4 clips"):
        split_clips(recipe(tmp_path, data={"held_out": 4}).data)


def test_channels_last_weights_train_to_the_same_weights(tmp_path: Path) -> None:
    plane, volume = create_model("vfi_ls3d_plus_s", width=8), create_model("vfi_ls3d", width=8)
    for model in (plane, volume):
        make_channels_last(model)
    assert plane.get_parameter("network.head.weight").is_contiguous(memory_format=torch.channels_last)
    assert volume.get_parameter("trunk.layers.0.conv2.weight").is_contiguous(memory_format=torch.channels_last_3d)
    usual, last = (
        load_model(train(recipe(tmp_path / name, channels_last=name == "last", half_weights=False))).state_dict()
        for name in ("usual", "last")
    )
    for name, tensor in usual.items():
        torch.testing.assert_close(last[name], tensor, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("coarse", [0.0, 1.0])
def test_training_runs_the_compiled_network(coarse: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def compile_counted(forward: Callable[..., list[torch.Tensor]]) -> Callable[..., list[torch.Tensor]]:
        def compiled(*inputs: Any) -> list[torch.Tensor]:
            runs.append(len(inputs))
            return forward(*inputs)

        return compiled

    monkeypatch.setattr(torch, "compile", compile_counted)
    train(recipe(tmp_path, compile=True, optimization={"coarse_loss": coarse}))
    assert len(runs) == 6


@pytest.mark.slow
def test_training_runs_through_the_default_compiler(tmp_path: Path) -> None:
    metrics = read_metadata(train(recipe(tmp_path, compile=True)))["metrics"]
    assert metrics["psnr"] > 0


def test_training_learns(tmp_path: Path) -> None:
    path = train(
        recipe(
            tmp_path,
            optimization={"steps": 100, "learning_rate": 2e-3, "warm_up": 5, "ema": 0.8},
            steps_per_epoch=100,
        )
    )
    metrics = read_metadata(path)["metrics"]
    assert metrics["psnr"] > metrics["psnr_baseline"] + 1


def test_training_starts_from_given_weights(tmp_path: Path) -> None:
    weights = train(recipe(tmp_path / "first"))
    section = recipe(tmp_path / "second", model={"weights": str(weights)}).model
    model = create_or_load(section)
    loaded = load_model(weights).state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(InputError, match="asks for vfi_conv3d"):
        create_or_load(ModelSection(name="vfi_conv3d", weights=weights))


def test_a_loss_that_is_not_finite_names_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ls3d.training.enhancement.module import EnhancementModule

    monkeypatch.setattr(EnhancementModule, "_distance", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(InputError, match=r"nan at step 0, clips \['a\d', 'a\d'\]"):
        train(recipe(tmp_path))


def test_a_bound_for_a_network_without_offsets_is_refused(tmp_path: Path) -> None:
    changes = {"model": {"name": "vsr_ls3d_plus_s", "arguments": {"width": 8}}, "optimization": {"offset_limit": 8.0}}
    with pytest.raises(InputError, match="vsr_ls3d_plus_s has no LS3DConv3d to bound"):
        train(recipe(tmp_path, kind="super-resolution", **changes))


def test_a_network_must_enlarge_as_much_as_the_clips_are_shrunk(tmp_path: Path) -> None:
    model = {"name": "vsr_conv3d", "arguments": {"width": 8, "scale": 2}}
    with pytest.raises(InputError, match=r"enlarges 2 times, .* makes 4 times smaller"):
        train(recipe(tmp_path, kind="super-resolution", model=model))


def test_held_out_clips_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"held_out names \['c'\]"):
        train(recipe(tmp_path, data={"held_out": ["c"]}))


def test_validation_is_what_the_enhancer_returns(tmp_path: Path) -> None:
    """PSNR of the trained weights on the held-out windows, computed without the Lightning module."""
    trained = recipe(tmp_path, half_weights=False)
    network = load_enhancement_model(train(trained))
    values = []
    windows = trained.training_task(network).held_out_windows()
    assert windows is not None
    for number in range(len(windows)):
        clean = windows[number]["frames"][None] / 255
        with torch.no_grad():
            output = network(clean[:, :, [0, 4]], [0.25, 0.5, 0.75]).clamp(0, 1)
        errors = (output - clean[:, :, 1:4]).square().mean(dim=(1, 3, 4))
        values.append((-10 * errors.log10()).mean().item())
    assert read_metadata(trained.output / "weights.safetensors")["metrics"]["psnr"] == pytest.approx(
        sum(values) / len(values), abs=1e-3
    )


def test_the_psnr_loss_is_the_negative_mean_psnr(tmp_path: Path) -> None:
    """Up to a constant factor, and to what keeps equal frames finite."""
    values = recipe(tmp_path, optimization={"loss": "psnr"})
    network = create_model("vfi_ls3d_plus_s", width=8)
    module = values.training_task(network).module()
    target = torch.rand(3, 3, 1, 16, 16)
    noise = torch.tensor([0.02, 0.1, 0.3]).view(3, 1, 1, 1, 1)
    output = target + noise * torch.randn(target.shape)
    scores = psnr(output.flatten(1, 2), target.flatten(1, 2), peak=1.0)
    expected = -scores.mean().float() * math.log(10) / 100
    torch.testing.assert_close(module._distance(output, target), expected, atol=0.002, rtol=0)
    assert torch.isfinite(module._distance(target, target))


def test_equal_frames_have_a_finite_psnr() -> None:
    from ls3d.training.enhancement.module import _mean_psnr

    frames = torch.rand(1, 3, 2, 8, 8)
    assert _mean_psnr(frames, frames) == 100


def test_lightning_still_has_the_private_attributes() -> None:
    from lightning.pytorch import Trainer

    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 0
    set_logged_step(trainer, 3)
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 3
