"""scripts/grow_weights.py: a larger network starts with the function of a trained one."""

from __future__ import annotations

import pytest
import torch
from helpers.scripts import load_script

from ls3d.models import create_model
from ls3d.models.enhancement.restoration_plus import RestorationNetPlus


@pytest.mark.parametrize("name", ["vsr_ls3d_plus_s", "vdn_ls3d_plus_s"])
def test_the_larger_network_computes_the_same_and_can_learn(name: str) -> None:
    script = load_script("grow_weights")
    torch.manual_seed(0)
    trained, larger = create_model(name, width=8, blocks=1), create_model(name, width=12, blocks=3)
    assert isinstance(trained, RestorationNetPlus)
    assert isinstance(larger, RestorationNetPlus)
    with torch.no_grad():
        for weight in trained.parameters():
            weight.copy_(torch.randn_like(weight) / max(1, weight[0].numel()) ** 0.5)
    script.grow(trained, larger)
    frames = torch.rand(1, 3, 2 * trained.side + 1, 32, 32)
    sigma = torch.tensor([0.1]) if trained.traits.takes_sigma else None
    output = larger(frames, sigma)
    assert torch.allclose(output, trained(frames, sigma), atol=1e-5)
    output.square().mean().backward()
    for weight_name, weight in larger.named_parameters():
        if "conv1" in weight_name and weight_name not in trained.state_dict():
            continue  # learns as soon as the block's second convolution is no longer zero
        assert weight.grad is not None, weight_name
        assert weight.grad.abs().max() > 0, weight_name
