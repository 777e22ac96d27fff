"""SSIM against the formula written out window by window, and against closed forms."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ls3d.metrics import ssim, ssim_3d

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def image(seed: int, height: int = 15, width: int = 17) -> np.ndarray:
    """A smooth random picture ``(3, H, W)`` of 0 to 255."""
    values = np.random.default_rng(seed).random((3, height, width))
    return 255 * (values + np.roll(values, 1, -1) + np.roll(values, 1, -2)) / 3


def window_ssim(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Equations (4) to (13) of Wang et al. for one window."""
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    variance_x = (weights * (x - mean_x) ** 2).sum()
    variance_y = (weights * (y - mean_y) ** 2).sum()
    covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
    numerator = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    return numerator / ((mean_x**2 + mean_y**2 + C1) * (variance_x + variance_y + C2))


def gaussian_window(dimensions: int) -> np.ndarray:
    grid = np.meshgrid(*[np.arange(-5, 6)] * dimensions)
    weights = np.exp(-sum(axis**2 for axis in grid) / (2 * 1.5**2))
    return weights / weights.sum()


def test_valid_ssim_window_by_window() -> None:
    x, y = image(1), image(2)
    weights = gaussian_window(2)
    places = itertools.product(range(3), range(15 - 10), range(17 - 10))
    expected = np.mean(
        [window_ssim(x[c, i : i + 11, j : j + 11], y[c, i : i + 11, j : j + 11], weights) for c, i, j in places]
    )
    assert ssim(torch.from_numpy(x), torch.from_numpy(y)).item() == pytest.approx(expected, abs=1e-12)


def test_volume_ssim_window_by_window() -> None:
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
def test_shifted_constants_lose_only_luminance(function, level: float, shift: float) -> None:
    flat = torch.full((3, 12, 13), level, dtype=torch.float64)
    expected = (2 * level * (level + shift) + C1) / (level**2 + (level + shift) ** 2 + C1)
    assert function(flat, flat + shift).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("function", [ssim, ssim_3d])
@given(first=st.integers(0, 1000), second=st.integers(0, 1000))
def test_symmetric_and_within_range(function, first: int, second: int) -> None:
    x, y = (torch.from_numpy(image(seed)) for seed in (first, second))
    score = function(x, y).item()
    assert -1 <= score <= 1
    assert score == pytest.approx(function(y, x).item(), abs=1e-12)
    assert function(x, x).item() == pytest.approx(1, abs=1e-12)
    assert (score > 1 - 1e-9) == (first == second)


@pytest.mark.parametrize("function", [ssim, ssim_3d])
def test_batches_are_scored_image_by_image(function) -> None:
    x = torch.from_numpy(np.stack([image(1), image(2)]))
    y = torch.from_numpy(np.stack([image(5), image(6)]))
    expected = torch.stack([function(x[0], y[0]), function(x[1], y[1])])
    torch.testing.assert_close(function(x, y), expected)


def test_refuses_pictures_smaller_than_the_window() -> None:
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(torch.zeros(3, 10, 30), torch.zeros(3, 10, 30))


@pytest.mark.parametrize("function", [ssim, ssim_3d])
def test_shapes_must_agree(function) -> None:
    with pytest.raises(ValueError, match="shapes"):
        function(torch.zeros(3, 12, 12), torch.zeros(3, 12, 13))
