"""Bounded offsets: never beyond the bound, still differentiable, nothing changed where they are small."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ls3d.nn import LS3DConv3d, limit_offsets


def layer(modulation: bool = True) -> LS3DConv3d:
    made = LS3DConv3d(2, 3, 3, padding=1, modulation=modulation, dtype=torch.float64)
    nn.init.normal_(made.predictor.weight, std=0.5)
    return made


@pytest.mark.parametrize("modulation", [True, False])
def test_offsets_stay_within_the_bound(modulation: bool) -> None:
    made, input = layer(modulation), 100 * torch.randn(1, 2, 3, 5, 6, dtype=torch.float64)
    free, importance = made.predict(input)
    limit_offsets(made, 1.5)
    bounded, same = made.predict(input)
    assert free.abs().max() > 10
    assert bounded.abs().max() <= 1.5
    assert torch.equal(bounded.sign(), free.sign())
    assert (importance is None) if same is None else torch.equal(importance, same)


def test_small_offsets_hardly_change() -> None:
    made, input = layer(), 0.01 * torch.randn(1, 2, 3, 5, 6, dtype=torch.float64)
    free, _ = made.predict(input)
    limit_offsets(made, 16.0)
    assert torch.allclose(made.predict(input)[0], free, atol=1e-5)


def test_gradients_are_those_of_the_bounded_offsets_and_reach_taps_far_out() -> None:
    made, input = layer(), torch.randn(1, 2, 2, 4, 5, dtype=torch.float64)
    limit_offsets(made, 0.7)

    def offsets(bias: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(made, {"predictor.bias": bias}, (input,))

    bias = torch.full_like(made.predictor.bias, 0.9).requires_grad_()  # type: ignore[arg-type]
    assert torch.autograd.gradcheck(offsets, bias)
    (gradient,) = torch.autograd.grad(made.predict(input)[0].sum(), made.predictor.bias)
    assert (gradient[: 2 * 27] > 0).all()


def test_a_bound_shows_and_goes_away_again() -> None:
    net = nn.Sequential(layer(), nn.Conv3d(3, 3, 1), layer(modulation=False))
    limit_offsets(net, 8)
    assert repr(net).count("max_offset=8") == 2
    limit_offsets(net, None)
    assert "max_offset" not in repr(net)
    with pytest.raises(ValueError, match="positive number of pixels, got 0"):
        limit_offsets(net, 0)
