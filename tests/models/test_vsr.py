"""The paper's super-resolution networks: description, contract, and what they start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import restoration_checks as restoring
from torch import nn

from ls3d.errors import InputError
from ls3d.models import create_model, list_models, model_info
from ls3d.models.enhancement.vsr import P3DBlock, SuperResolutionNet
from ls3d.nn.resize import imresize

SMALL: dict[str, dict[str, Any]] = {
    "vsr_ls3d": {"width": 8, "num_blocks": 2},
    "vsr_conv3d": {"width": 8, "num_blocks": 2},
    "vsr_p3d_ls3d": {"width": 8, "num_blocks": 2},
    "vsr_p3d_conv3d": {"width": 8, "num_blocks": 2},
}
EVERY = pytest.mark.parametrize("name", SMALL)


def test_every_network_of_the_paper_is_tested() -> None:
    assert {name for name in list_models("vsr_*") if "plus" not in name} == set(SMALL)


@EVERY
@pytest.mark.parametrize("size", [(1, 9, 7), (2, 1, 1), (5, 4, 11), (7, 8, 8), (16, 5, 3)])
def test_every_frame_is_enlarged_for_any_size_and_length(name: str, size: tuple[int, int, int]) -> None:
    frames, height, width = size
    model = create_model(name, **SMALL[name])
    assert (model.scale, model.size_multiple) == (4, 1)
    with torch.no_grad():
        assert model(torch.rand(2, 3, *size)).shape == (2, 3, frames, 4 * height, 4 * width)


@EVERY
@pytest.mark.parametrize("scale", [2, 3, 4])
@torch.no_grad()
def test_starts_as_bicubic_at_every_factor(name: str, scale: int) -> None:
    model = create_model(name, scale=scale, **SMALL[name])
    frames = torch.rand(1, 3, 3, 5, 7)
    torch.testing.assert_close(model(frames), imresize(frames, scale))
    alone = create_model(name, scale=scale, residual=False, **SMALL[name])
    assert alone(frames).shape == (1, 3, 3, 5 * scale, 7 * scale)
    assert alone(frames).std() > 0.1


@pytest.mark.parametrize(("name", "window"), [("vsr_ls3d", 7), ("vsr_p3d_ls3d", 5)])
def test_windows_are_those_of_the_papers_data(name: str, window: int) -> None:
    model = create_model(name, **SMALL[name])
    assert model.frames_before + 1 + model.frames_after == window
    restoring.check_every_frame_counts(model, torch.rand(1, 3, window, 8, 8))


def test_parameters_counted_by_hand() -> None:
    """From the description: weights and biases, layer by layer."""
    w = 64
    edges = (3 * w * 27 + w) + (w * w * 27 + w) + (w * 48 * 9 + 48)  # head, fusion, sub-pixel layer for 3 x 4 x 4
    residual, predictor = 2 * (w * w * 27 + w), w * 81 * 27 + 81  # two offsets and an importance for 27 taps
    p3d, p3d_predictor = (w * w * 9 + w) + (w * w * 3 + w), w * 9 * 3 + 9  # the same for 3 taps
    expected = {
        "vsr_ls3d": edges + 6 * (residual + predictor),
        "vsr_conv3d": edges + 6 * residual,
        "vsr_p3d_ls3d": edges + 5 * (p3d + p3d_predictor),
        "vsr_p3d_conv3d": edges + 5 * p3d,
    }
    for name, count in expected.items():
        assert sum(parameter.numel() for parameter in create_model(name).parameters()) == count
        assert model_info(name).parameters == count


@pytest.mark.parametrize("blocks", [(), (1,), (2, 4), (1, 2, 3, 4)])
def test_any_subset_of_blocks_is_ls3d(blocks: tuple[int, ...]) -> None:
    model = create_model("vsr_ls3d", width=8, num_blocks=4, ls3d_blocks=blocks)
    assert restoring.ls3d_layers(model) == [f"blocks.{number - 1}.conv1" for number in blocks]
    with pytest.raises(InputError, match=r"1\.\.4, got \[5\]"):
        create_model("vsr_ls3d", num_blocks=4, ls3d_blocks=[5])


def test_p3d_samples_learnably_in_its_3x1x1_alone() -> None:
    model = create_model("vsr_p3d_ls3d", **SMALL["vsr_p3d_ls3d"])
    assert restoring.ls3d_layers(model) == ["blocks.0.temporal", "blocks.1.temporal"]
    kernels = {tuple(model.get_submodule(name).kernel_size) for name in restoring.ls3d_layers(model)}
    assert kernels == {(3, 1, 1)}


def test_p3d_block_is_space_then_time() -> None:
    """Against the composition written with ``torch.nn.functional``."""
    block = P3DBlock(4, learnable_sampling=False)
    x = torch.randn(1, 4, 5, 6, 7)
    spatial = nn.functional.conv3d(x, block.spatial.weight, block.spatial.bias, padding=(0, 1, 1))
    expected = x + nn.functional.conv3d(spatial.relu(), block.temporal.weight, block.temporal.bias, padding=(1, 0, 0))
    torch.testing.assert_close(block(x), expected)


@torch.no_grad()
def test_sub_pixels_stay_in_their_frame_and_place() -> None:
    """A channel that knows nothing but its number appears at its color, row and column, in every frame."""
    model = SuperResolutionNet([], width=4, scale=4, residual=False)
    model.sub_pixel.weight.zero_()
    model.sub_pixel.bias.copy_(torch.arange(48.0))
    output = model(torch.rand(1, 3, 2, 3, 5))
    expected = torch.arange(48.0).view(1, 3, 1, 4, 4).repeat(1, 1, 2, 3, 5)
    assert torch.equal(output, expected)


@torch.no_grad()
def test_a_frame_shows_at_its_own_time() -> None:
    """Without anything that looks around in time, each output frame is made of its own input frame."""
    model = restoring.disturb(SuperResolutionNet([], width=4))
    for conv in (model.head, model.fuse):
        conv.weight[:, :, [0, 2]] = 0
    frames = torch.rand(1, 3, 4, 5, 6)
    alone = [model(frames[:, :, index : index + 1]) for index in range(4)]
    torch.testing.assert_close(model(frames), torch.cat(alone, dim=2))


@pytest.mark.parametrize(
    ("baseline", "learnable", "where"),
    [("vsr_conv3d", "vsr_ls3d", "blocks.*.conv1"), ("vsr_p3d_conv3d", "vsr_p3d_ls3d", "blocks.*.temporal")],
)
def test_ls3d_starts_as_its_baseline(baseline: str, learnable: str, where: str) -> None:
    models = [create_model(name, **SMALL[name]) for name in (baseline, learnable)]
    restoring.check_baseline_converts(*models, (torch.rand(1, 3, 5, 9, 10),), where)


@pytest.mark.parametrize("name", ["vsr_ls3d", "vsr_p3d_ls3d"])
def test_training_moves_the_offsets(name: str) -> None:
    restoring.check_a_few_steps_train_everything(create_model(name, **SMALL[name]), (torch.rand(1, 3, 3, 8, 8),))


@EVERY
def test_layouts_compilation_and_weights(name: str, tmp_path: Path) -> None:
    model = create_model(name, **SMALL[name])
    restoring.check_layouts_compilation_and_weights(model, (torch.rand(1, 3, 3, 6, 7),), tmp_path)
