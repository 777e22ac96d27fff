"""The interpolation networks: shapes, times, initialization, and their parts against known results."""

from __future__ import annotations

import pytest
import torch
from helpers.networks import create

from ls3d.models import InterpolationNetwork, list_models
from ls3d.models.enhancement._motion import correlate, warp
from ls3d.models.enhancement.vfi import InterpolationNet
from ls3d.nn import LS3DConv3d, LS3DResBlock

SMALL = {
    "vfi_ls3d": {"width": 8},
    "vfi_conv3d": {"width": 8},
}
#: The times of the new frames.
QUARTERS = (0.25, 0.5, 0.75)


def create_small(name: str) -> InterpolationNetwork:
    return create(InterpolationNetwork, name, **SMALL[name])


def test_every_network_of_the_family_is_tested() -> None:
    plus = set(list_models("vfi_ls3d_plus_*"))  # in test_vfi_plus.py
    assert set(list_models("vfi_*")) == set(SMALL) | plus


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("height", "width"), [(32, 40), (64, 24)])
def test_two_frames_become_five(name: str, height: int, width: int) -> None:
    model = create_small(name)
    assert height % model.traits.size_multiple == width % model.traits.size_multiple == 0
    assert model(torch.rand(2, 3, 2, height, width)).shape == (2, 3, 5, height, width)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("indices", [(2,), (1, 2, 3), (4, 0, 2)])
def test_times_choose_among_the_five(name: str, indices: tuple[int, ...]) -> None:
    model = create_small(name).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    frames = torch.rand(1, 3, 2, 32, 32)
    with torch.no_grad():
        times = [index / 4 for index in indices]
        torch.testing.assert_close(model(frames, times), model(frames)[:, :, list(indices)])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("time", [0.3, -0.25, 1.25, float("nan")])
def test_other_times_are_refused(name: str, time: float) -> None:
    with pytest.raises(ValueError, match="expected multiples of 1/4"):
        create_small(name)(torch.rand(1, 3, 2, 32, 32), [time])


@pytest.mark.parametrize("blocks", [(), (1, 2), (3, 4), (5, 6), (3, 4, 5, 6), (1, 2, 3, 4, 5, 6)])
def test_any_subset_of_blocks_is_ls3d(blocks: tuple[int, ...]) -> None:
    """The rows of tables 2 and 3."""
    model = InterpolationNet(width=8, ls3d_blocks=blocks)
    residual = [layer for layer in model.trunk.layers if isinstance(layer, LS3DResBlock)]
    assert len(residual) == 6
    found = {number for number, block in enumerate(residual, 1) if isinstance(block.conv1, LS3DConv3d)}
    assert found == set(blocks)


def test_unknown_block_is_named() -> None:
    with pytest.raises(ValueError, match=r"1\.\.6.*\[7\]"):
        InterpolationNet(ls3d_blocks=(7,))


@pytest.mark.parametrize("blocks", [(), (1, 2, 3, 4, 5, 6)])
def test_parameters_of_the_papers_network(blocks: tuple[int, ...]) -> None:
    """Those of figure 2: weights and biases, layer by layer."""
    w, h = 64, 32
    edges = (3 * h * 27 + h) + (h * w * 27 + w) + (w * h * 48 + h) + (h * 3 * 48 + 3)
    trunk = 6 * 2 * (w * w * 27 + w) + 2 * (w * w * 27 + w)
    predictors = len(blocks) * (w * 81 * 27 + 81)
    model = InterpolationNet(64, blocks)
    assert sum(p.numel() for p in model.parameters()) == edges + trunk + predictors


def test_warp_follows_whole_pixel_motion() -> None:
    images = torch.rand(2, 2, 12, 16)
    motion = torch.tensor([[1.0, -2.0], [-3.0, 1.0]])[:, :, None, None].expand(2, 2, 12, 16)
    warped = warp(images, motion)
    for image, (dy, dx) in enumerate([(1, -2), (-3, 1)]):
        expected = images[image].roll((-dy, -dx), (1, 2))
        inside = (..., slice(3, -3), slice(3, -3))
        torch.testing.assert_close(warped[image][inside], expected[inside])


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (2, -3), (-4, 4)])
def test_correlation_peaks_at_the_displacement(dy: int, dx: int) -> None:
    first = torch.randn(1, 16, 20, 20)
    scores = correlate(first, first.roll((dy, dx), (2, 3)))
    best = scores[0, :, 6:-6, 6:-6].argmax(0)
    assert torch.equal(best, torch.full_like(best, (dy + 4) * 9 + dx + 4))


def test_one_step_moves_the_offsets() -> None:
    """Every predictor has a gradient from the second step on; the layers initialized to zero have one in the first."""
    model = create_small("vfi_ls3d")
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    frames, target = torch.rand(1, 3, 2, 32, 32), torch.rand(1, 3, 3, 32, 32)
    for _ in range(2):
        optimizer.zero_grad()
        (model(frames, QUARTERS) - target).abs().mean().backward()
        optimizer.step()
    for module in model.modules():
        if isinstance(module, LS3DConv3d):
            assert module.predictor.weight.abs().max() > 0
