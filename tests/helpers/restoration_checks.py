"""Checks that the paper's networks for super-resolution and for denoising have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ls3d.models import Network, load_model, save_weights
from ls3d.nn import LS3DConv3d, convert

Inputs = tuple[Tensor, ...]
Net = TypeVar("Net", bound=nn.Module)


def perturb(model: Net) -> Net:
    """Add noise to all parameters, so that none is zero, and set evaluation mode."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def ls3d_layers(model: nn.Module) -> list[str]:
    """Return the names of the LS3D convolutions."""
    return [name for name, module in model.named_modules() if isinstance(module, LS3DConv3d)]


@torch.no_grad()
def check_baseline_converts(baseline: nn.Module, learnable: nn.Module, inputs: Inputs, where: str) -> None:
    """Check that the converted baseline has the output of the baseline and the parameters of the LS3D network."""
    perturb(baseline)
    expected = baseline(*inputs)
    converted = convert(baseline, where=where)
    torch.testing.assert_close(converted(*inputs), expected, atol=1e-5, rtol=0)
    learnable.eval().load_state_dict(converted.state_dict())
    torch.testing.assert_close(learnable(*inputs), expected, atol=1e-5, rtol=0)


def check_a_few_steps_train_everything(model: nn.Module, inputs: Inputs) -> None:
    """Check that three steps change all parameters, predictors of offsets included.

    Three, because the gradients behind layers that are initialized to zero are zero in the first step.
    """
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        (model(*inputs) - 0.5).abs().mean().backward()
        optimizer.step()
    assert not [key for key, value in model.state_dict().items() if torch.equal(value, before[key])]
    assert any("predictor" in key for key in before)


@torch.no_grad()
def check_every_frame_counts(model: nn.Module, frames: Tensor, others: Sequence[Tensor] = ()) -> None:
    """Check that the middle frame of the output depends on every frame of the window."""
    perturb(model)
    middle = frames.shape[2] // 2
    output = model(frames, *others)[:, :, middle]
    for index in range(frames.shape[2]):
        changed = frames.clone()
        changed[:, :, index] += 0.1 * torch.rand_like(changed[:, :, index])
        assert not torch.equal(model(changed, *others)[:, :, middle], output), index


@torch.no_grad()
def check_layouts_compilation_and_weights(model: Network, inputs: Inputs, folder: Path) -> None:
    """Check that the output stays the same with channels last, compiled to one graph, and loaded from a file."""
    perturb(model)
    expected = model(*inputs)
    channels_last = inputs[0].contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(model(channels_last, *inputs[1:]), expected, atol=1e-5, rtol=0)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*inputs), expected, atol=1e-5, rtol=0)
    loaded = load_model(save_weights(model, folder / "weights.safetensors"))
    torch.testing.assert_close(loaded(*inputs), expected, rtol=0, atol=0)
