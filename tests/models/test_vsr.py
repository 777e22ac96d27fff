"""The paper's super-resolution networks: architecture, shapes, initialization."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import restoration_checks as checks
from helpers.networks import create
from torch import nn

from ls3d.errors import InputError
from ls3d.models import create_model, list_models, model_info
from ls3d.models.enhancement.vsr import P3DBlock, SuperResolutionNet
from ls3d.nn import LS3DConv3d
from ls3d.nn.resize import imresize

SMALL: dict[str, dict[str, Any]] = {
    "vsr_ls3d": {"width": 8, "num_blocks": 2},
    "vsr_conv3d": {"width": 8, "num_blocks": 2},
    "vsr_p3d_ls3d": {"width": 8, "num_blocks": 2},
    "vsr_p3d_conv3d": {"width": 8, "num_blocks": 2},
}
EVERY = pytest.mark.parametrize("name", SMALL)


def create_small(name: str, **arguments: Any) -> SuperResolutionNet:
    return create(SuperResolutionNet, name, **SMALL[name], **arguments)


def test_every_network_of_the_paper_is_tested() -> None:
    assert {name for name in list_models("vsr_*") if "plus" not in name} == set(SMALL)


@EVERY
@pytest.mark.parametrize("size", [(1, 9, 7), (2, 1, 1), (5, 4, 11), (7, 8, 8), (16, 5, 3)])
def test_every_frame_is_enlarged_for_any_size_and_length(name: str, size: tuple[int, int, int]) -> None:
    frames, height, width = size
    model = create_small(name)
    assert (model.traits.scale, model.traits.size_multiple) == (4, 1)
    with torch.no_grad():
        assert model(torch.rand(2, 3, *size)).shape == (2, 3, frames, 4 * height, 4 * width)


@EVERY
@pytest.mark.parametrize("scale", [2, 3, 4])
@torch.no_grad()
def test_initialized_as_bicubic_at_every_factor(name: str, scale: int) -> None:
    model = create_small(name, scale=scale)
    frames = torch.rand(1, 3, 3, 5, 7)
    torch.testing.assert_close(model(frames), imresize(frames, scale))
    alone = create_small(name, scale=scale, residual=False)
    assert alone(frames).shape == (1, 3, 3, 5 * scale, 7 * scale)
    assert alone(frames).std() > 0.1


@pytest.mark.parametrize(("name", "window"), [("vsr_ls3d", 7), ("vsr_p3d_ls3d", 5)])
def test_windows_are_those_of_the_papers_data(name: str, window: int) -> None:
    model = create_small(name)
    assert model.traits.frames_before + 1 + model.traits.frames_after == window
    checks.check_every_frame_counts(model, torch.rand(1, 3, window, 8, 8))


def test_parameters_are_those_of_the_description() -> None:
    """Weights and biases, layer by layer."""
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
    assert checks.ls3d_layers(model) == [f"blocks.{number - 1}.conv1" for number in blocks]
    with pytest.raises(InputError, match=r"1\.\.4, got \[5\]"):
        create_model("vsr_ls3d", num_blocks=4, ls3d_blocks=[5])


def test_only_the_3x1x1_convolutions_of_p3d_are_ls3d() -> None:
    model = create_small("vsr_p3d_ls3d")
    assert checks.ls3d_layers(model) == ["blocks.0.temporal", "blocks.1.temporal"]
    kernels = {module.kernel_size for module in model.modules() if isinstance(module, LS3DConv3d)}
    assert kernels == {(3, 1, 1)}


def test_p3d_block_is_space_then_time() -> None:
    """Compared with ``torch.nn.functional``."""
    block = P3DBlock(4, learnable_sampling=False)
    x = torch.randn(1, 4, 5, 6, 7)
    spatial = nn.functional.conv3d(x, block.spatial.weight, block.spatial.bias, padding=(0, 1, 1))
    expected = x + nn.functional.conv3d(spatial.relu(), block.temporal.weight, block.temporal.bias, padding=(1, 0, 0))
    torch.testing.assert_close(block(x), expected)


@torch.no_grad()
def test_sub_pixels_keep_their_frame_and_position() -> None:
    """A channel with its number as constant output appears at its color, row and column, in every frame."""
    model = SuperResolutionNet([], width=4, scale=4, residual=False)
    model.sub_pixel.weight.zero_()
    assert model.sub_pixel.bias is not None
    model.sub_pixel.bias.copy_(torch.arange(48.0))
    output = model(torch.rand(1, 3, 2, 3, 5))
    expected = torch.arange(48.0).view(1, 3, 1, 4, 4).repeat(1, 1, 2, 3, 5)
    assert torch.equal(output, expected)


@torch.no_grad()
def test_frames_keep_their_order() -> None:
    """Without temporal kernels, each output frame depends on the input frame of its index only."""
    model = checks.perturb(SuperResolutionNet([], width=4))
    for conv in (model.head, model.fuse):
        conv.weight[:, :, [0, 2]] = 0
    frames = torch.rand(1, 3, 4, 5, 6)
    alone = [model(frames[:, :, index : index + 1]) for index in range(4)]
    torch.testing.assert_close(model(frames), torch.cat(alone, dim=2))


@pytest.mark.parametrize(
    ("baseline", "learnable", "where"),
    [("vsr_conv3d", "vsr_ls3d", "blocks.*.conv1"), ("vsr_p3d_conv3d", "vsr_p3d_ls3d", "blocks.*.temporal")],
)
def test_ls3d_is_initialized_as_its_baseline(baseline: str, learnable: str, where: str) -> None:
    inputs = (torch.rand(1, 3, 5, 9, 10),)
    checks.check_baseline_converts(create_small(baseline), create_small(learnable), inputs, where)


@pytest.mark.parametrize("name", ["vsr_ls3d", "vsr_p3d_ls3d"])
def test_training_moves_the_offsets(name: str) -> None:
    checks.check_a_few_steps_train_everything(create_small(name), (torch.rand(1, 3, 3, 8, 8),))


@EVERY
def test_layouts_compilation_and_weights(name: str, tmp_path: Path) -> None:
    model = create_small(name)
    checks.check_layouts_compilation_and_weights(model, (torch.rand(1, 3, 3, 6, 7),), tmp_path)
