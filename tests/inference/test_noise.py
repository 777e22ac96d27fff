"""The noise level of frames with known noise."""

from __future__ import annotations

import pytest
import torch

from ls3d.inference import estimate_sigma


@pytest.mark.parametrize("sigma", [5, 15, 25, 50])
def test_noise_is_measured(sigma: int) -> None:
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(300.0), indexing="ij")
    scene = torch.stack([0.5 + 0.3 * torch.sin(x / 20 + c) * torch.cos(y / 30) for c in range(3)])
    noisy = scene + sigma / 255 * torch.randn_like(scene)
    assert abs(255 * estimate_sigma(noisy) - sigma) < 0.05 * sigma


def test_frames_that_are_too_small_have_no_noise() -> None:
    assert estimate_sigma(torch.rand(3, 2, 100)) == 0
