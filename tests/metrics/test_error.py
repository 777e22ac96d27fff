"""PSNR and interpolation errors against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ls3d.metrics import METRICS, absolute_error, interpolation_error, luma, measure, psnr, to_8bit


def images(seed: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 16, 20, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("error", [1.0, 5.0, 255.0])
def test_psnr_of_a_known_error(error: float) -> None:
    black = torch.zeros(2, 3, 4, 5)
    expected = torch.full((2,), 20 * math.log10(255 / error), dtype=torch.float64)
    torch.testing.assert_close(psnr(black, black + error), expected)


def test_psnr_averages_squares_over_channels_and_pixels() -> None:
    truth, output = torch.zeros(3, 2, 2), torch.zeros(3, 2, 2)
    output[0, 0, 0] = 12
    assert psnr(output, truth).item() == pytest.approx(10 * math.log10(255**2 / 12))


def test_equal_images_have_infinite_psnr() -> None:
    assert psnr(images(0), images(0)).tolist() == [math.inf, math.inf]


def test_interpolation_error_is_the_norm_over_the_channels() -> None:
    truth = torch.zeros(3, 2, 2)
    output = torch.zeros(3, 2, 2)
    output[:, 0, 0] = torch.tensor([2.0, 3.0, 6.0])  # a color difference of 7 in one of four pixels
    assert interpolation_error(output, truth).item() == pytest.approx(math.sqrt(49 / 4))
    assert absolute_error(output, truth).item() == pytest.approx(11 / 12)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_errors_are_symmetric_and_ordered(first: int, second: int) -> None:
    x, y = images(first) * 255, images(second) * 255
    for function in (psnr, interpolation_error, absolute_error):
        torch.testing.assert_close(function(x, y), function(y, x))
    # Jensen: the mean absolute error is at most the RMS error, which is the color norm over sqrt(3).
    assert (absolute_error(x, y) <= interpolation_error(x, y) / math.sqrt(3) + 1e-9).all()


def test_unsuitable_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        psnr(torch.zeros(3, 4, 4), torch.zeros(3, 4, 5))
    with pytest.raises(ValueError, match="shapes"):
        psnr(torch.zeros(4, 4), torch.zeros(4, 4))


def test_luma_is_bt601_limited_range() -> None:
    colors = torch.tensor([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]])
    expected = torch.tensor([16, 235, 81.481, 144.553, 40.966], dtype=torch.float64)
    torch.testing.assert_close(luma(colors.mT[:, :, None])[0, :, 0], expected)


def test_rounding_happens_before_the_comparison() -> None:
    truth = torch.full((1, 3, 12, 12), 100 / 255, dtype=torch.float64)
    output = truth + 0.4 / 255
    scores = measure(["psnr-rgb", "psnr-rgb-float", "ie-abs"], output, truth)
    assert scores["psnr-rgb"].item() == math.inf
    assert scores["psnr-rgb-float"].item() == pytest.approx(20 * math.log10(255 / 0.4))
    assert scores["ie-abs"].item() == 0


def test_halves_round_to_even_despite_float32_error() -> None:
    low = torch.arange(255, dtype=torch.float32)
    halfway = (low / 255 + (low + 1) / 255) / 2
    assert to_8bit(halfway).tolist() == [value + value % 2 for value in range(255)]


def test_values_outside_the_range_are_clamped() -> None:
    truth = torch.ones(1, 3, 12, 12)
    assert measure(["psnr-rgb-float"], truth + 0.5, truth)["psnr-rgb-float"].item() == math.inf


def test_crop_ignores_the_border() -> None:
    truth = images(3)
    output = truth.clone()
    output[..., :4, :] = 0
    output[..., -1] = 1
    assert measure(["psnr-y"], output, truth, crop=4)["psnr-y"].tolist() == [math.inf, math.inf]
    assert measure(["psnr-y"], output, truth, crop=3)["psnr-y"].isfinite().all()


def test_y_of_a_gray_error_is_smaller_by_the_limited_range() -> None:
    truth = torch.full((1, 3, 12, 12), 50 / 255, dtype=torch.float64)
    scores = measure(["psnr-y"], truth + 10 / 255, truth)
    assert scores["psnr-y"].item() == pytest.approx(20 * math.log10(255 / (10 * 219 / 255)), abs=1e-3)


def test_the_message_names_an_unknown_metric() -> None:
    with pytest.raises(ValueError, match="psnr-xyz"):
        measure(["psnr-xyz"], images(0), images(1))


def test_every_variant_scores_the_images_of_a_batch_independently() -> None:
    for name, metric in METRICS.items():
        together = metric(images(1), images(2))
        assert together.shape == (2,), name
        assert together.dtype == torch.float64
        torch.testing.assert_close(together[1:], metric(images(1)[1:], images(2)[1:]))
