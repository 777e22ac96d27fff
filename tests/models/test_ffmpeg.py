"""FFmpeg's filters as networks: they interpolate motion and remove noise."""

from __future__ import annotations

import pytest
import torch

from ls3d.models import load_enhancement_model, load_model, model_info


def texture(height: int = 96, width: int = 128) -> torch.Tensor:
    """Blocks of random colors ``(3, H, W)``."""
    coarse = torch.rand(3, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    return coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)


def test_minterpolate_follows_a_shift() -> None:
    first = texture()
    pair = torch.stack([first, first.roll(8, dims=2)], dim=1)[None]
    output = load_model("minterpolate")(pair)
    blended = load_model("blend")(pair)
    assert output.shape == blended.shape == (1, 3, 5, 96, 128)
    inside = (..., slice(16, -16), slice(16, -16))
    for index in range(5):
        expected = first.roll(2 * index, dims=2)[inside]
        error = (output[0, :, index][inside] - expected).abs().mean()
        assert error < 0.02
        if 0 < index < 4:
            assert error < 0.2 * (blended[0, :, index][inside] - expected).abs().mean()


@pytest.mark.parametrize("size", [(13, 21), (40, 66)])
def test_minterpolate_takes_any_size_batch_and_times(size: tuple[int, int]) -> None:
    pairs = torch.rand(2, 3, 2, *size, generator=torch.Generator().manual_seed(1))
    model = load_model("minterpolate")
    whole = model(pairs)
    assert whole.shape == (2, 3, 5, *size)
    assert torch.equal(model(pairs[1:], [0.25, 0.75])[0], whole[1][:, [1, 3]])


def test_minterpolate_interpolates_across_a_scene_change() -> None:
    pair = torch.stack([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)], dim=1)[None]
    middle = load_model("minterpolate")(pair, [0.5])
    assert 0.3 < middle.mean() < 0.7


@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_nlmeans_removes_noise(sigma: int) -> None:
    clean = texture(24, 32).repeat_interleave(4, 1).repeat_interleave(4, 2)[None, :, None].expand(1, 3, 2, -1, -1)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2)) * (sigma / 255)
    noisy = (clean + noise).clamp(0, 1)
    output = load_model("nlmeans")(noisy, torch.tensor([sigma / 255]))
    assert output.shape == clean.shape
    assert (output - clean).square().mean() < 0.3 * (noisy - clean).square().mean()


def test_nlmeans_uses_the_noise_level_of_each_clip() -> None:
    clips = texture()[None, :, None].expand(2, 3, 1, -1, -1) + 0.05 * torch.randn(2, 3, 1, 96, 128)
    model = load_enhancement_model("nlmeans")
    assert model.traits.takes_sigma
    both = model(clips, torch.tensor([0.02, 0.2]))
    assert torch.equal(both[1:], model(clips[1:], torch.tensor([0.2])))
    assert not torch.equal(both[1:], model(clips[1:], torch.tensor([0.02])))


def test_registered_with_their_tasks() -> None:
    assert model_info("minterpolate").task == "interpolation"
    assert model_info("nlmeans").task == "denoising"
