"""The paper's denoising networks: architecture, shapes, effect of the noise level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import restoration_checks as checks
from helpers.networks import create

from ls3d.errors import InputError
from ls3d.models import create_model, list_models, model_info
from ls3d.models.enhancement.vdn import DenoisingNet

SMALL: dict[str, dict[str, Any]] = {"vdn_ls3d": {"width": 8}, "vdn_conv3d": {"width": 8}}
EVERY = pytest.mark.parametrize("name", SMALL)
SIGMA = torch.tensor([0.1])


def create_small(name: str) -> DenoisingNet:
    return create(DenoisingNet, name, **SMALL[name])


def test_every_network_of_the_paper_is_tested() -> None:
    assert {name for name in list_models("vdn_*") if "plus" not in name} == set(SMALL)


@EVERY
@pytest.mark.parametrize("size", [(1, 8, 12), (2, 4, 4), (7, 16, 8), (16, 4, 20)])
@torch.no_grad()
def test_initialized_as_the_identity_for_any_size_and_length(name: str, size: tuple[int, int, int]) -> None:
    model = create_small(name)
    assert (model.traits.scale, model.traits.size_multiple, model.traits.takes_sigma) == (1, 4, True)
    frames, sigma = torch.rand(2, 3, *size), torch.tensor([0.1, 0.2])
    assert torch.equal(model(frames, sigma), frames)
    assert checks.perturb(model)(frames, sigma).shape == frames.shape
    alone = create_model(name, residual=False, **SMALL[name])(frames, sigma)
    assert alone.shape == frames.shape
    assert not torch.allclose(alone, frames, atol=0.1)


def test_every_frame_of_the_papers_window_counts() -> None:
    model = create_small("vdn_ls3d")
    window = model.traits.frames_before + 1 + model.traits.frames_after
    assert window == 7
    checks.check_every_frame_counts(model, torch.rand(1, 3, window, 8, 8), [SIGMA])


@pytest.mark.parametrize("blocks", [(), (1, 2), (3, 4, 5, 6), None])
def test_parameters_are_those_of_the_description(blocks: tuple[int, ...] | None) -> None:
    """Figure 2(b) with one more input channel and its own decoder: weights and biases, layer by layer."""
    w, h, q = 64, 32, 16
    encoder = (4 * h * 27 + h) + (h * w * 27 + w)
    decoder = (w * h * 48 + h) + (h * q * 48 + q) + ((q + 4) * q * 27 + q) + (q * 3 * 27 + 3)
    trunk = 6 * 2 * (w * w * 27 + w) + 2 * (w * w * 27 + w)
    predictors = (6 if blocks is None else len(blocks)) * (w * 81 * 27 + 81)
    model = create_model("vdn_ls3d", ls3d_blocks=blocks)
    assert sum(parameter.numel() for parameter in model.parameters()) == encoder + trunk + predictors + decoder
    published = {(): "vdn_conv3d", None: "vdn_ls3d"}
    if blocks in published:
        assert model_info(published[blocks]).parameters == encoder + trunk + predictors + decoder


def test_unknown_block_is_named() -> None:
    with pytest.raises(InputError, match=r"1\.\.6, got \[0, 1\]"):
        create_model("vdn_ls3d", ls3d_blocks=[0, 1])


@EVERY
@torch.no_grad()
def test_each_sample_has_its_own_noise_level(name: str) -> None:
    model = checks.perturb(create_small(name))
    frames = torch.rand(1, 3, 3, 8, 8).expand(2, -1, -1, -1, -1)
    both = model(frames, torch.tensor([0.02, 0.2]))
    assert not torch.allclose(both[0], both[1], atol=1e-4)
    for index, level in enumerate((0.02, 0.2)):
        torch.testing.assert_close(both[index : index + 1], model(frames[:1], torch.tensor([level])))


@torch.no_grad()
def test_the_level_is_on_the_scale_of_the_frames() -> None:
    """The fourth input channel of the first layer is sigma, at every position."""
    model = create_small("vdn_conv3d")
    inputs: list[torch.Tensor] = []
    model.encoder[0].register_forward_pre_hook(lambda _layer, arguments: inputs.append(arguments[0]))
    frames = torch.rand(2, 3, 2, 4, 8)
    model(frames, torch.tensor([0.02, 0.2]))
    assert torch.equal(inputs[0][:, :3], frames)
    assert torch.equal(inputs[0][:, 3], torch.tensor([0.02, 0.2])[:, None, None, None].expand(2, 2, 4, 8))


def test_ls3d_is_initialized_as_its_baseline() -> None:
    inputs = (torch.rand(1, 3, 3, 8, 12), SIGMA)
    checks.check_baseline_converts(create_small("vdn_conv3d"), create_small("vdn_ls3d"), inputs, "trunk.layers.*.conv1")


def test_training_moves_the_offsets() -> None:
    model = create_small("vdn_ls3d")
    checks.check_a_few_steps_train_everything(model, (torch.rand(1, 3, 3, 8, 8), SIGMA))


@EVERY
def test_layouts_compilation_and_weights(name: str, tmp_path: Path) -> None:
    model = create_small(name)
    inputs = (torch.rand(1, 3, 3, 8, 12), SIGMA)
    checks.check_layouts_compilation_and_weights(model, inputs, tmp_path)


def test_a_few_steps_reduce_noise_at_every_level() -> None:
    """Smooth images with weak and strong noise: 50 steps remove a tenth of its energy."""
    model = create_model("vdn_ls3d", width=16)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    sigma = torch.tensor([10, 50]) / 255

    def remaining() -> torch.Tensor:
        """Squared error of the output over that of the input, at each level."""
        phase = 6.3 * torch.rand(2, 3, 1, 1, 1)
        clean = (0.5 + 0.4 * (phase + 0.2 * x).sin() * (0.15 * y).cos()).expand(-1, -1, 3, -1, -1)
        noise = sigma[:, None, None, None, None] * torch.randn_like(clean)
        errors: torch.Tensor = (model(clean + noise, sigma) - clean).square().mean((1, 2, 3, 4))
        return errors / noise.square().mean((1, 2, 3, 4))

    for _ in range(50):
        optimizer.zero_grad()
        remaining().mean().backward()
        optimizer.step()
    with torch.no_grad():
        assert remaining().max() < 0.9
