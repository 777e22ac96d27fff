"""Degradations agree with their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from ls3d.data import DEGRADATIONS, get_degradation
from ls3d.errors import InputError

FRAME = torch.rand(3, 42, 50, generator=torch.Generator().manual_seed(0))


def on_8bit_grid(frame: torch.Tensor) -> bool:
    return bool(((frame.double() * 255 - (frame.double() * 255).round()).abs() < 1e-4).all())


@pytest.mark.parametrize("name", ["bi", "bd"])
def test_downscaled_frames_are_a_quarter_of_the_cropped_frame_in_8_bit(name: str) -> None:
    small = get_degradation(name)(FRAME)
    assert get_degradation(name).crop(FRAME).shape == (3, 40, 48)
    assert small.shape == (3, 10, 12)
    assert small.dtype == FRAME.dtype
    assert on_8bit_grid(small)


@pytest.mark.parametrize("name", ["bi", "bd"])
def test_a_constant_frame_stays_constant(name: str) -> None:
    gray = torch.full((3, 24, 24), 77 / 255)
    torch.testing.assert_close(get_degradation(name)(gray), torch.full((3, 6, 6), 77 / 255))


def test_bd_samples_every_fourth_pixel_of_the_blurred_frame() -> None:
    impulse = torch.zeros(3, 32, 32)
    impulse[:, 16, 12] = 1
    small = get_degradation("bd")(impulse).double() * 255
    weights = torch.exp(-torch.arange(-6, 7).double().square() / (2 * 1.6**2))
    weights /= weights.sum()
    center, neighbor = weights[6] * weights[6] * 255, weights[6] * weights[2] * 255
    assert small[0, 4, 3].item() == pytest.approx(center.item(), abs=0.51)
    assert small[0, 4, 4].item() == pytest.approx(neighbor.item(), abs=0.51)
    assert small[0, 3, 3].item() == pytest.approx(neighbor.item(), abs=0.51)
    assert small[0, 6, 3].item() == 0


@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_float_noise_is_gaussian_and_unclipped(sigma: int) -> None:
    gray = torch.full((3, 128, 128), 0.05)
    noise = (get_degradation(f"noise-{sigma}")(gray, "clip", 0) - gray) * 255
    count = noise.numel()
    assert abs(noise.mean().item()) < 5 * sigma / math.sqrt(count)
    assert noise.std().item() == pytest.approx(sigma, rel=5 / math.sqrt(2 * count))
    assert get_degradation(f"noise-{sigma}")(gray, "clip", 0).min() < 0
    fourth = (noise / sigma).pow(4).mean().item()
    assert fourth == pytest.approx(3, abs=5 * math.sqrt(96 / count))


def test_8bit_noise_is_rounded_and_clipped() -> None:
    dark = torch.full((3, 64, 64), 10 / 255)
    noisy = get_degradation("noise8-25")(dark, "clip", 0)
    assert on_8bit_grid(noisy)
    assert noisy.min() == 0
    middle = torch.full((3, 128, 128), 128 / 255)
    noise = (get_degradation("noise8-25")(middle, "clip", 0) - middle) * 255
    # Rounding adds 1/12 to the variance.
    assert noise.std().item() == pytest.approx(math.sqrt(25**2 + 1 / 12), rel=0.02)


def test_mixed_noise_replaces_all_channels_of_every_tenth_pixel() -> None:
    gray = torch.full((3, 256, 256), 128 / 255)
    noisy = get_degradation("mixed")(gray, "clip", 0)
    plain = get_degradation("noise8-25")(gray, "clip", 0)
    assert on_8bit_grid(noisy)
    far = ((noisy - gray).abs() * 255 > 5 * 25.5).any(dim=0)  # beyond Gaussian noise
    # Gaussian noise never differs by more than 127.5; a uniform value does in 1 of 256 cases.
    assert not ((plain - gray).abs() * 255 > 5 * 25.5).any()
    replaced = ((noisy - gray).abs() * 255 > 90).any(dim=0).float().mean().item()
    uniform_beyond_90 = 1 - (181 / 256) ** 3
    assert replaced == pytest.approx(0.1 * uniform_beyond_90, rel=0.15)
    assert far.float().mean() < 0.01


@pytest.mark.parametrize("name", sorted(DEGRADATIONS))
def test_a_frame_is_degraded_the_same_way_every_time(name: str) -> None:
    degradation = get_degradation(name)
    first = degradation(FRAME, "clip", 3)
    torch.rand(1)  # the global random state has no influence
    assert torch.equal(degradation(FRAME, "clip", 3), first)
    random = degradation.sigma > 0
    assert torch.equal(degradation(FRAME, "clip", 4), first) != random
    assert torch.equal(degradation(FRAME, "other", 3), first) != random


def test_an_unknown_degradation_is_refused() -> None:
    with pytest.raises(InputError, match="rain"):
        get_degradation("rain")
