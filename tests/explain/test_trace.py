"""Samples and gradients of output pixels, against computations that don't use automatic differentiation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.networks import DENOISING, create
from torch import Tensor, nn

from ls3d.data.rendered import Layer, random_texture, render
from ls3d.errors import InputError
from ls3d.explain import measure_spread, record_sampling, trace, trace_samples
from ls3d.models import EnhancementNetwork, RestorationNetwork, load_enhancement_model
from ls3d.models.enhancement._motion import warp
from ls3d.nn import LS3DConv3d
from ls3d.ops import ls3d_conv3d, use_backend


class Layers(RestorationNetwork):
    """Layers on a window of three frames."""

    traits = replace(DENOISING, frames_before=1, frames_after=1)

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Apply the layers."""
        output: Tensor = self.layers(frames)
        return output


def sampling_layer(channels: int, out_channels: int, kernel: Sequence[int] = (3, 3, 3)) -> LS3DConv3d:
    """A layer whose offsets and masks depend on its input; offsets are up to a few pixels."""
    size = (kernel[0], kernel[1], kernel[2])
    layer = LS3DConv3d(channels, out_channels, size, padding=(size[0] // 2, size[1] // 2, size[2] // 2))
    nn.init.normal_(layer.predictor.weight, std=0.3)
    return layer


def translation(velocity: tuple[float, float], size: tuple[int, int] = (64, 64)) -> Tensor:
    """Two frames ``(3, 2, H, W)`` of a texture that moves by ``velocity`` (dy, dx)."""
    texture = random_texture(torch.Generator().manual_seed(0))
    return render([Layer(texture, None, (0.0, 0.0), velocity)], [0, 1], size)


def test_samples_of_one_layer_are_its_taps() -> None:
    """Positions and weights of equation (3), in float64 and in loops."""
    layer = sampling_layer(3, 3)
    frames = torch.rand(3, 3, 6, 7)
    y, x = 2, 5
    points = trace_samples(Layers(layer), frames, x, y, limit=None)
    with torch.no_grad():
        offsets, masks = layer.predict(frames[None])
    assert masks is not None
    expected: dict[tuple[int, float, float], float] = {}
    for tap, (a, i, j) in enumerate(itertools.product(range(3), repeat=3)):
        row = y + i - 1 + float(offsets[0, 2 * tap, 1, y, x])
        column = x + j - 1 + float(offsets[0, 2 * tap + 1, 1, y, x])
        if not (0 <= row <= 5 and 0 <= column <= 6):
            continue  # only in part inside, or not at all
        kernel = layer.weight[:, :, a, i, j].detach().double().mean(0)  # of the mean of the output's colors
        expected[a, row, column] = float(masks[0, tap, 1, y, x] * kernel.abs().sum())
    assert len(expected) > 10
    found = list(zip(points.frame, points.y, points.x, points.weight, strict=True))
    for (frame, row, column), weight in expected.items():
        near = [w for f, r, c, w in found if f == frame and math.hypot(r - row, c - column) < 1e-3]
        assert near == pytest.approx([weight], rel=1e-4)
    assert points.total == pytest.approx(points.weight.sum())


def test_samples_through_two_layers_add_up_all_paths() -> None:
    """The Jacobian with offsets and masks as constants, column by column."""
    first = nn.Conv3d(3, 4, 3, padding=1)
    second = sampling_layer(4, 4)
    third = sampling_layer(4, 3, (3, 1, 1))
    network = Layers(first, second, third)
    frames = torch.rand(3, 3, 5, 6)
    with record_sampling(network) as calls, torch.no_grad():
        network(frames[None])

    def frozen(inputs: Tensor) -> Tensor:
        features = torch.nn.functional.conv3d(inputs, first.weight.double(), padding=1)
        for call in calls:
            count = len(inputs)
            offset, mask = (
                each.double().expand(count, -1, -1, -1, -1) for each in (call.offset, call.mask) if each is not None
            )
            features = ls3d_conv3d(features, offset, mask, call.weight.double(), padding=call.geometry.padding)
        return features

    y, x = 3, 2
    units = torch.eye(frames.numel(), dtype=torch.float64).view(-1, *frames.shape)
    with torch.no_grad(), use_backend("reference"):
        columns = frozen(units)[:, :, 1, y, x].mean(1)
    expected = columns.view(frames.shape).abs().sum(0).numpy()
    points = trace_samples(network, frames, x, y, limit=None)
    found = np.zeros_like(expected)
    found[points.frame, points.y.astype(int), points.x.astype(int)] = points.weight
    np.testing.assert_allclose(found, expected, atol=1e-5)
    strongest = trace_samples(network, frames, x, y, limit=7)
    assert list(strongest.weight) == sorted(points.weight, reverse=True)[:7]
    assert strongest.total == pytest.approx(points.total)


class WarpByColor(RestorationNetwork):
    """Warps the middle frame by a motion that depends on its colors."""

    traits = replace(DENOISING, frames_before=1, frames_after=1)

    def forward(self, frames: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Warp by up to two pixels."""
        return warp(frames[:, :, 1], 2 * frames[:, :2, 1]).unsqueeze(2)


def test_warps_are_samples() -> None:
    """The four pixels around the position, with bilinear weights, though the position depends on the colors, too."""
    frames = torch.rand(3, 3, 9, 9)
    with torch.no_grad():
        points = trace_samples(WarpByColor(), frames, 4, 3)
    dy, dx = (2 * frames[:2, 1, 3, 4]).tolist()
    assert len(points.x) == 4
    assert points.total == pytest.approx(1, abs=1e-5)
    assert points.center(1) == pytest.approx((4 + dx, 3 + dy), abs=1e-4)


def test_density_is_the_derivative() -> None:
    """Of everything, offsets and masks included: differences of outputs, in all directions of a color."""
    network = Layers(sampling_layer(3, 3)).eval()
    frames = torch.rand(3, 3, 6, 6)
    density = trace(network, frames).density(3, 2)
    network.double()
    step = 1e-6
    for frame, row, column in [(0, 2, 3), (1, 1, 4), (2, 3, 3)]:
        total = 0.0
        for color in range(3):
            moved = frames.double().repeat(2, 1, 1, 1, 1)
            moved[0, color, frame, row, column] += step
            moved[1, color, frame, row, column] -= step
            with torch.no_grad(), use_backend("reference"):
                high, low = network(moved)[:, :, 1, 2, 3].mean(1)
            total += abs(float(high - low)) / (2 * step)
        assert density[frame, row, column] == pytest.approx(total, rel=1e-3)


def test_density_of_the_identity_is_one_pixel() -> None:
    traced = trace(load_enhancement_model("identity"), torch.rand(3, 1, 5, 6))
    expected = np.zeros((1, 5, 6))
    expected[0, 2, 4] = 1
    np.testing.assert_allclose(traced.density(4, 2), expected, atol=1e-6)
    expected[0, 1:4, 3:6] = 1 / 9
    expected[0, 2, 4] = 1 / 9
    np.testing.assert_allclose(traced.density(4, 2, size=3), expected, atol=1e-6)


@pytest.mark.parametrize("corner", [(0, 0), (4, 0), (0, 5), (4, 5)])
def test_a_patch_is_cut_at_the_borders(corner: tuple[int, int]) -> None:
    y, x = corner
    traced = trace(load_enhancement_model("identity"), torch.rand(3, 1, 5, 6))
    expected = np.zeros((1, 5, 6))
    expected[0, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 1 / 9
    np.testing.assert_allclose(traced.density(x, y, size=5), expected, atol=1e-6)


def test_a_pixel_without_samples_has_no_spread() -> None:
    layer = nn.Conv3d(3, 3, 1)
    nn.init.zeros_(layer.weight)
    traced = trace(Layers(layer), torch.rand(3, 3, 8, 8))
    assert math.isnan(traced.samples(2, 3).spread())
    measured = measure_spread(traced, pixels=4, motion=torch.zeros(2, 8, 8))
    assert len(measured.spread) == len(measured.motion) == 0
    assert math.isnan(measured.correlation())


@pytest.mark.parametrize("velocity", [(3.0, -7.0), (-2.5, 4.0)])
def test_samples_of_a_translation_are_centered_on_its_source(velocity: tuple[float, float]) -> None:
    traced = trace(load_enhancement_model("vfi"), translation(velocity))
    generator = np.random.default_rng(0)
    errors = []
    for y, x in generator.integers(0, 64, (100, 2)).tolist():
        points = traced.samples(x, y)
        for frame, part in enumerate((-0.5, 0.5)):
            column, row = points.center(frame)
            errors.append(math.hypot(row - y - part * velocity[0], column - x - part * velocity[1]))
    first, second = np.median(np.reshape(errors, (-1, 2)), axis=0)
    assert max(first, second) < 0.5


NETWORKS = ["bilateral", "vfi_ls3d", "vfi_conv3d", "vsr_p3d_ls3d", "vdn_ls3d", "vsr", "vdn", "aligned_mean", "bicubic"]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_can_be_traced(name: str) -> None:
    """Of frames whose sizes are no multiples; the output is that of the network alone."""
    needs_weights = "ls3d" in name or "conv3d" in name
    network = create(EnhancementNetwork, name) if needs_weights else load_enhancement_model(name)
    traits = network.traits
    frames = torch.rand(3, traits.frames_before + 1 + traits.frames_after, 18, 21)
    traced = trace(network, frames, sigma=0.1)
    assert traced.output.shape == (3, 18 * traits.scale, 21 * traits.scale)
    points = traced.samples(5 * traits.scale, 4 * traits.scale)
    assert points.total > 0.2
    assert (np.diff(points.weight) <= 0).all()
    assert 0 <= points.x.min() <= points.x.max() <= 20
    assert 0 <= points.y.min() <= points.y.max() <= 17
    assert traced.density(5, 4).shape == frames.shape[1:]


def test_weights_of_means_sum_to_one() -> None:
    """Also where a network switches gradients off, as ``aligned_mean`` does."""
    network = create(EnhancementNetwork, "aligned_mean", spatial=False)
    points = trace_samples(network, torch.rand(3, 7, 20, 20), 9, 9, sigma=0.2)
    assert points.total == pytest.approx(1, abs=1e-5)
    points = trace_samples(load_enhancement_model("bilateral"), torch.rand(3, 2, 20, 20), 9, 9, time=0.25)
    assert points.total == pytest.approx(1, abs=1e-4)
    assert points.weight[points.frame == 0].sum() > points.weight[points.frame == 1].sum()


def test_tracing_leaves_the_network_as_it_is() -> None:
    network = Layers(sampling_layer(3, 3))
    trace_samples(network, torch.rand(3, 3, 5, 5), 1, 1)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert torch.is_grad_enabled()


def test_restoration_has_no_time() -> None:
    network = load_enhancement_model("aligned_mean")
    frames = torch.rand(3, network.traits.frames_before + 1 + network.traits.frames_after, 16, 16)
    assert torch.equal(trace(network, frames, time=2.0).output, trace(network, frames).output)


def test_errors() -> None:
    frames = torch.rand(3, 2, 8, 8)
    blend = load_enhancement_model("blend")
    for x, y, argument in ((8, 0, "x"), (-1, 0, "x"), (0, 8, "y")):
        with pytest.raises(InputError) as found:
            trace(blend, frames).samples(x, y)
        assert found.value.argument == argument
    with pytest.raises(InputError, match="size 0: expected at least 1"):
        trace(blend, frames).density(1, 1, size=0)
    for sigma in (-0.1, 2.0, float("nan")):
        with pytest.raises(InputError, match=f"sigma {sigma:g}: expected 0 to 1"):
            trace(blend, frames, sigma=sigma)
    with pytest.raises(InputError, match=r"time 0.3: "):
        trace(create(EnhancementNetwork, "vfi_conv3d", width=4), frames, time=0.3)
    with pytest.raises(InputError, match=r"frames .*takes \(3, 2, H, W\)"):
        trace(blend, frames[:, :1])
    with pytest.raises(InputError, match="nlmeans can't be differentiated"):
        trace(load_enhancement_model("nlmeans"), frames[:, :1], sigma=0.1).density(0, 0)
