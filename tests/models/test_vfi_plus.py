"""Interpolation with learned importances: its start, its parts, and that it learns which frame to sample."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.networks import create
from helpers.textures import random_texture
from torch import Tensor

from ls3d.models import InterpolationNetwork, list_models, load_model
from ls3d.models.enhancement.vfi_plus import InterpolationNetPlus


def moving_frames(height: int, width: int, move: tuple[int, int], seed: int = 0) -> Tensor:
    """A texture that moves: ``(1, 3, 2, H, W)``."""
    first = random_texture(height, width, seed).clamp(0, 1)
    return torch.stack([first, first.roll(move, dims=(2, 3))], dim=2)


@pytest.mark.parametrize("name", list_models("vfi_ls3d_plus_?"))
@pytest.mark.parametrize("size", [(32, 48), (1, 1), (19, 35)])
@torch.no_grad()
def test_starts_as_the_network_without_weights(name: str, size: tuple[int, int]) -> None:
    frames = moving_frames(*size, (2, -3))
    times = [0.5, 0.3, 0.0, 1.0, 0.875]
    model = create(InterpolationNetwork, name)
    assert torch.equal(model(frames, times), load_model("bilateral")(frames, times))
    assert torch.equal(model(frames)[:, :, [0, 4]], frames)


@torch.no_grad()
def test_pyramid_has_the_halved_and_the_full_frames() -> None:
    model = InterpolationNetPlus(8)
    torch.nn.init.normal_(model.network.head.weight, std=0.02)
    frames = moving_frames(48, 64, (0, 4))
    coarse, fine = model.forward_pyramid(frames, [0.25, 0.5])
    torch.testing.assert_close(fine, model(frames, [0.25, 0.5]))
    assert coarse.shape == (1, 3, 2, 24, 32)
    still = frames[:, :, :1].expand(-1, -1, 2, -1, -1)
    halved = F.avg_pool3d(still, (1, 2, 2))
    torch.testing.assert_close(model.forward_pyramid(still, [0.25, 0.5])[0], halved, atol=0.02, rtol=0)


@torch.no_grad()
def test_shifts_are_pixels_of_the_frames_and_residuals_are_added() -> None:
    """A picture that gets brighter, sampled half a pixel to the right."""
    model = InterpolationNetPlus(8)
    bias = model.network.head.bias
    assert bias is not None
    bias[:1] = bias[6:7] = 40  # the first candidate alone
    bias[12:16] = torch.tensor([0, 0.5, 0, 0.5])
    bias[16:] = 0.2
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")

    def wave(x: Tensor) -> Tensor:
        return torch.stack([0.5 + 0.2 * (0.2 * x + phase).sin() * (0.15 * y).cos() for phase in range(3)])[None]

    output = model(torch.stack([wave(x), wave(x) + 0.04], dim=2), [0.5])[:, :, 0]
    torch.testing.assert_close(output[..., 4:-4, 4:-4], wave(x + 0.5)[..., 4:-4, 4:-4] + 0.04, atol=1e-3, rtol=0)


def test_motion_and_pixels_are_exact_under_autocast() -> None:
    """Features may be rounded to bfloat16, positions and pixels may not."""
    model = InterpolationNetPlus(8)
    assert model.network.head.bias is not None
    torch.nn.init.constant_(model.network.head.bias, 1.03125)
    frames = moving_frames(32, 64, (1, 3))
    with torch.no_grad():
        exact = model(frames, [0.5])
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(frames, [0.5])
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=1e-5, rtol=0)


def test_learns_to_sample_the_frame_that_shows_more() -> None:
    """A flat square hides a part of the second frame: after 40 steps the error is less than half of the start's."""
    frames = moving_frames(64, 64, (0, 4), seed=3)
    target = frames[:, :, 0].roll(2, dims=-1)
    frames[:, :, 1, 20:44, 20:44] = 0.5
    model = InterpolationNetPlus(8)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = (model(frames, [0.5])[:, :, 0] - target).abs()[..., 8:-8, 8:-8].mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(parameter.grad is not None for parameter in model.parameters())
