"""Sharpness against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ls3d.metrics import moving, sharpness


def wave(amplitude: float, wavelength: float = 8.0, phase: float = 0.0) -> Tensor:
    """Stripes ``(2, 1, 24, 64)``."""
    x = torch.arange(64, dtype=torch.float64)
    return (128 + amplitude * torch.sin(2 * math.pi * x / wavelength + phase)).expand(2, 1, 24, 64)


@pytest.mark.parametrize("contrast", [0.0, 0.25, 1.0, 1.5])
def test_is_the_ratio_of_contrasts(contrast: float) -> None:
    expected = torch.full((2,), contrast, dtype=torch.float64)
    torch.testing.assert_close(sharpness(wave(40 * contrast), wave(40)), expected)


def test_direction_and_displacement_do_not_matter() -> None:
    """Over whole periods; the last row and column have no difference."""
    picture = wave(40)[..., :24]
    one = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(sharpness(picture.mT, picture), one)
    mask = torch.zeros(2, 1, 24, 64, dtype=torch.bool)
    mask[..., 8:48] = True
    torch.testing.assert_close(sharpness(wave(40).roll(3, -1), wave(40), mask), one)


def test_the_gradient_is_that_of_forward_differences() -> None:
    """One pixel of height 5 has gradients of 5 above it and to its left, and of the diagonal at itself."""
    dot = torch.zeros(1, 1, 5, 5)
    dot[..., 2, 2] = 5
    step = torch.zeros(1, 1, 5, 5)
    step[..., 3:] = 1
    assert sharpness(dot, step).item() == pytest.approx((5 + 5 + 5 * math.sqrt(2)) / 5)


def test_only_pixels_of_the_mask_count() -> None:
    truth = wave(40)
    output = truth.clone()
    output[..., 32:] = 128
    mask = torch.zeros(2, 1, 24, 64, dtype=torch.bool)
    mask[0, ..., :30] = True
    mask[1, ..., 34:] = True
    assert sharpness(output, truth, mask).tolist() == [1, 0]


def test_is_not_a_number_without_pixels_or_detail() -> None:
    assert sharpness(wave(1), wave(0)).isnan().all()
    assert sharpness(wave(1), wave(1), torch.zeros(2, 1, 24, 64, dtype=torch.bool)).isnan().all()


def test_pixels_move_where_any_channel_differs_by_more_than_the_threshold() -> None:
    first = torch.zeros(3, 2, 2)
    second = torch.tensor([[[0.0, 10.0], [0.0, 0.0]], [[0.0, 0.0], [-11.0, 0.0]], [[10.5, 0.0], [0.0, 3.0]]])
    assert moving(first, second).tolist() == [[[True, False], [True, False]]]
    assert moving(first, second, 2.0).tolist() == [[[True, True], [True, True]]]


def test_unsuitable_shapes_are_refused() -> None:
    for function in (sharpness, moving):
        with pytest.raises(ValueError, match="shapes"):
            function(torch.zeros(3, 4, 4), torch.zeros(3, 4, 5))
