"""SSIM against the formula evaluated window by window, and against closed forms."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ls3d.metrics import ssim, ssim_3d

C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2

Array = npt.NDArray[np.float64]
Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def image(seed: int, height: int = 15, width: int = 17) -> Array:
    """A smooth random picture ``(3, H, W)`` with values from 0 to 255."""
    values = np.random.default_rng(seed).random((3, height, width))
    return 255 * (values + np.roll(values, 1, -1) + np.roll(values, 1, -2)) / 3


def window_ssim(x: Array, y: Array, weights: Array) -> float:
    """Equations (4) to (13) of Wang et al. for one window."""
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    variance_x = (weights * (x - mean_x) ** 2).sum()
    variance_y = (weights * (y - mean_y) ** 2).sum()
    covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
    numerator = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    return float(numerator / ((mean_x**2 + mean_y**2 + C1) * (variance_x + variance_y + C2)))


def gaussian_window(dimensions: int) -> Array:
    """A Gaussian with 11 taps along each dimension and sigma 1.5 that sums to 1."""
    grid = np.stack(np.meshgrid(*[np.arange(-5.0, 6.0)] * dimensions))
    weights = np.exp(-(grid**2).sum(axis=0) / (2 * 1.5**2))
    return np.asarray(weights / weights.sum())


def test_ssim_equals_the_mean_over_windows_inside_the_picture() -> None:
    x, y = image(1), image(2)
    weights = gaussian_window(2)
    places = itertools.product(range(3), range(15 - 10), range(17 - 10))
    expected = np.mean(
        [window_ssim(x[c, i : i + 11, j : j + 11], y[c, i : i + 11, j : j + 11], weights) for c, i, j in places]
    )
    assert ssim(torch.from_numpy(x), torch.from_numpy(y)).item() == pytest.approx(expected, abs=1e-12)


def test_ssim_3d_equals_the_mean_over_windows_of_the_padded_volume() -> None:
    x, y = image(3, 7, 6), image(4, 7, 6)
    padded_x, padded_y = (np.pad(z, 5, mode="edge") for z in (x, y))
    weights = gaussian_window(3)
    cubes = [
        tuple(slice(start, start + 11) for start in place) for place in itertools.product(range(3), range(7), range(6))
    ]
    expected = np.mean([window_ssim(padded_x[cube], padded_y[cube], weights) for cube in cubes])
    assert ssim_3d(torch.from_numpy(x), torch.from_numpy(y)).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("function", [ssim, ssim_3d])
@pytest.mark.parametrize(("level", "shift"), [(100.0, 20.0), (0.0, 255.0), (5.0, 0.5)])
def test_constant_images_differ_only_in_luminance(function: Function, level: float, shift: float) -> None:
    flat = torch.full((3, 12, 13), level, dtype=torch.float64)
    expected = (2 * level * (level + shift) + C1) / (level**2 + (level + shift) ** 2 + C1)
    assert function(flat, flat + shift).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("function", [ssim, ssim_3d])
@given(first=st.integers(0, 1000), second=st.integers(0, 1000))
def test_symmetric_and_within_range(function: Function, first: int, second: int) -> None:
    x, y = (torch.from_numpy(image(seed)) for seed in (first, second))
    score = function(x, y).item()
    assert -1 <= score <= 1
    assert score == pytest.approx(function(y, x).item(), abs=1e-12)
    assert function(x, x).item() == pytest.approx(1, abs=1e-12)
    assert (score > 1 - 1e-9) == (first == second)


@pytest.mark.parametrize("function", [ssim, ssim_3d])
def test_images_of_a_batch_are_scored_independently(function: Function) -> None:
    x = torch.from_numpy(np.stack([image(1), image(2)]))
    y = torch.from_numpy(np.stack([image(5), image(6)]))
    expected = torch.stack([function(x[0], y[0]), function(x[1], y[1])])
    torch.testing.assert_close(function(x, y), expected)


def test_pictures_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(torch.zeros(3, 10, 30), torch.zeros(3, 10, 30))


@pytest.mark.parametrize("function", [ssim, ssim_3d])
def test_different_shapes_are_refused(function: Function) -> None:
    with pytest.raises(ValueError, match="shapes"):
        function(torch.zeros(3, 12, 12), torch.zeros(3, 12, 13))
