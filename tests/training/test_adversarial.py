"""Adversarial losses: both sides learn, neither changes the other, and a resumed training restores both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.recipes import recipe, train_until

from ls3d.errors import InputError
from ls3d.models import load_model
from ls3d.training import load_recipe, train
from ls3d.training.enhancement.adversarial import AdversarialLoss
from ls3d.training.enhancement.recipe import AdversarialSection
from ls3d.training.state import load_state

ON = {"weight_2d": 0.05, "weight_3d": 0.05, "width": 4}


def make_loss(**options: float) -> AdversarialLoss:
    return AdversarialLoss(AdversarialSection.model_validate({**ON, "learning_rate": 1e-2, **options}))


def test_discriminators_learn_to_distinguish_blur_from_stripes() -> None:
    adversarial = make_loss()
    real = (0.5 + 0.5 * torch.sin(torch.arange(32.0))).expand(2, 3, 3, 32, 32)
    blurred = real.mean(dim=-1, keepdim=True).expand_as(real).clone().requires_grad_()
    losses = [adversarial.train_discriminators(blurred, real).item() for _ in range(30)]
    assert losses[0] == pytest.approx(2, abs=0.5)  # hinge: 1 for true and 1 for generated frames at first
    assert losses[-1] < 0.5 * losses[0]
    assert blurred.grad is None


def test_the_network_s_loss_is_the_weighted_sum_and_does_not_change_the_discriminators() -> None:
    adversarial = make_loss(weight_2d=0.3, weight_3d=0.7)
    adversarial.discriminators.eval()  # spectral normalization iterates in training mode
    output = torch.rand(2, 3, 3, 32, 32, requires_grad=True)
    loss = adversarial.generator_loss(output)
    expected = (
        -0.3 * adversarial.discriminators["2d"](output).mean() - 0.7 * adversarial.discriminators["3d"](output).mean()
    )
    assert torch.allclose(loss, expected)
    loss.backward()
    assert output.grad is not None
    assert output.grad.abs().sum() > 0
    assert all(
        parameter.grad is None and parameter.requires_grad for parameter in adversarial.discriminators.parameters()
    )


def test_the_discriminators_loss_is_the_hinge() -> None:
    adversarial = make_loss(weight_3d=0)
    assert list(adversarial.discriminators) == ["2d"]
    adversarial.discriminators.eval()
    output, target = torch.rand(2, 1, 3, 3, 32, 32)
    discriminator = adversarial.discriminators["2d"]
    expected = F.relu(1 - discriminator(target)).mean() + F.relu(1 + discriminator(output)).mean()
    assert torch.allclose(adversarial.train_discriminators(output, target), expected)


def test_unusable_adversarial_sections_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "kind: interpolation\nmodel: {name: vfi_ls3d}\ndata: {root: clips}\noptimization: {steps: 10}\n"
    )
    with pytest.raises(InputError, match="both weights are 0"):
        load_recipe(tmp_path / "r.yaml", ["optimization.adversarial={weight_2d: 0, weight_3d: 0}"])
    with pytest.raises(InputError, match=r"r\.yaml: adversarial losses need precision .* not 16-mixed"):
        load_recipe(tmp_path / "r.yaml", ["optimization.adversarial={}", "precision=16-mixed"])


@pytest.mark.usefixtures("clips")
def test_adversarial_losses_begin_at_the_recipe_s_step(tmp_path: Path) -> None:
    """Until that step, training is the same as without them."""
    runs = {"off": None, "late": ON | {"start": 6}, "on": ON | {"start": 3}}
    weights = {
        name: load_model(train(recipe(tmp_path / name, optimization={"adversarial": section}))).state_dict()
        for name, section in runs.items()
    }
    assert all(torch.equal(weights["off"][key], weights["late"][key]) for key in weights["off"])
    assert any(not torch.equal(weights["off"][key], weights["on"][key]) for key in weights["off"])


@pytest.mark.usefixtures("clips")
def test_a_resumed_training_restores_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = {"adversarial": ON | {"start": 1}}
    whole, stopped = (recipe(tmp_path / name, optimization=section) for name in ("whole", "stopped"))
    train(whole)
    train_until(3, stopped, monkeypatch)
    train(stopped)
    one, other = (load_state(run.output / "last.ckpt").values for run in (whole, stopped))
    for key in ("state_dict", "current_model_state"):
        assert all(torch.equal(one[key][name], other[key][name]) for name in one[key])
        assert not any("discriminator" in name for name in one[key])
    uninterrupted = one["adversarial"]["discriminators"]
    resumed = other["adversarial"]["discriminators"]
    assert uninterrupted
    assert all(torch.equal(uninterrupted[name], resumed[name]) for name in uninterrupted)
    states = (saved["adversarial"]["optimizer"]["state"] for saved in (one, other))
    for first, second in zip(*(state.values() for state in states), strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)
