"""Adversarial losses: both sides learn, each leaves the other alone, a stopped training goes on with both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.recipes import recipe, train_until

from ls3d.errors import InputError
from ls3d.models import load_model
from ls3d.training import load_recipe, train
from ls3d.training.enhancement.adversarial import Adversary
from ls3d.training.recipe.schema import AdversarialSection

ON = {"weight_2d": 0.05, "weight_3d": 0.05, "width": 4}


def adversary(**options: float) -> Adversary:
    return Adversary(AdversarialSection.model_validate({**ON, "learning_rate": 1e-2, **options}))


def test_discriminators_learn_to_tell_blur_from_stripes() -> None:
    judged = adversary()
    real = (0.5 + 0.5 * torch.sin(torch.arange(32.0))).expand(2, 3, 3, 32, 32)
    blurred = real.mean(dim=-1, keepdim=True).expand_as(real).clone().requires_grad_()
    losses = [judged.learn(blurred, real).item() for _ in range(30)]
    assert losses[0] == pytest.approx(2, abs=0.5)  # hinge: one on either side while they can't tell
    assert losses[-1] < 0.5 * losses[0]
    assert blurred.grad is None


def test_the_network_s_loss_is_the_weighted_sum_and_leaves_the_discriminators_alone() -> None:
    judged = adversary(weight_2d=0.3, weight_3d=0.7)
    judged.judges.eval()  # spectral normalization iterates in training mode
    output = torch.rand(2, 3, 3, 32, 32, requires_grad=True)
    loss = judged.loss(output)
    expected = -0.3 * judged.judges["2d"](output).mean() - 0.7 * judged.judges["3d"](output).mean()
    assert torch.allclose(loss, expected)
    loss.backward()
    assert output.grad is not None
    assert output.grad.abs().sum() > 0
    assert all(parameter.grad is None and parameter.requires_grad for parameter in judged.judges.parameters())


def test_the_discriminators_loss_is_the_hinge() -> None:
    judged = adversary(weight_3d=0)
    assert list(judged.judges) == ["2d"]
    judged.judges.eval()
    output, target = torch.rand(2, 1, 3, 3, 32, 32)
    judge = judged.judges["2d"]
    expected = F.relu(1 - judge(target)).mean() + F.relu(1 + judge(output)).mean()
    assert torch.allclose(judged.learn(output, target), expected)


def test_without_any_weight_the_section_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("model: {name: vfi_ls3d}\ndata: {root: clips}\noptimization: {steps: 10}\n")
    with pytest.raises(InputError, match="both weights are 0"):
        load_recipe(tmp_path / "r.yaml", ["optimization.adversarial={weight_2d: 0, weight_3d: 0}"])
    with pytest.raises(InputError, match=r"r\.yaml: adversarial losses need precision .* not 16-mixed"):
        load_recipe(tmp_path / "r.yaml", ["optimization.adversarial={}", "precision=16-mixed"])


@pytest.mark.usefixtures("clips")
def test_it_begins_where_the_recipe_says(tmp_path: Path) -> None:
    """Before that step training is as without it; after it, the network differs."""
    runs = {"off": None, "late": ON | {"start": 6}, "on": ON | {"start": 3}}
    weights = {
        name: load_model(train(recipe(tmp_path / name, optimization={"adversarial": section}))).state_dict()
        for name, section in runs.items()
    }
    assert all(torch.equal(weights["off"][key], weights["late"][key]) for key in weights["off"])
    assert any(not torch.equal(weights["off"][key], weights["on"][key]) for key in weights["off"])


@pytest.mark.usefixtures("clips")
def test_a_stopped_training_goes_on_with_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = {"adversarial": ON | {"start": 1}}
    whole, stopped = (recipe(tmp_path / name, optimization=section) for name in ("whole", "stopped"))
    train(whole)
    train_until(3, stopped, monkeypatch)
    train(stopped)
    one, other = (torch.load(run.output / "last.ckpt", weights_only=False) for run in (whole, stopped))
    for key in ("state_dict", "current_model_state"):
        assert all(torch.equal(one[key][name], other[key][name]) for name in one[key])
        assert not any("judge" in name for name in one[key])
    judges, resumed = one["adversary"]["judges"], other["adversary"]["judges"]
    assert judges
    assert all(torch.equal(judges[name], resumed[name]) for name in judges)
    states = (saved["adversary"]["optimizer"]["state"] for saved in (one, other))
    for first, second in zip(*(state.values() for state in states), strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)
