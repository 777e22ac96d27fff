"""Limited offsets: within the limit, differentiable, and unchanged where they are small."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ls3d.nn import LS3DConv3d, limit_offsets


def make_layer(modulation: bool = True) -> LS3DConv3d:
    layer = LS3DConv3d(2, 3, 3, padding=1, modulation=modulation, dtype=torch.float64)
    nn.init.normal_(layer.predictor.weight, std=0.5)
    return layer


@pytest.mark.parametrize("modulation", [True, False])
def test_offsets_stay_within_the_limit(modulation: bool) -> None:
    layer, input = make_layer(modulation), 100 * torch.randn(1, 2, 3, 5, 6, dtype=torch.float64)
    free, mask = layer.predict(input)
    limit_offsets(layer, 1.5)
    limited, same_mask = layer.predict(input)
    assert free.abs().max() > 10
    assert limited.abs().max() <= 1.5
    assert torch.equal(limited.sign(), free.sign())
    torch.testing.assert_close(same_mask, mask, atol=0, rtol=0)


def test_small_offsets_hardly_change() -> None:
    layer, input = make_layer(), 0.01 * torch.randn(1, 2, 3, 5, 6, dtype=torch.float64)
    free, _ = layer.predict(input)
    limit_offsets(layer, 16.0)
    assert torch.allclose(layer.predict(input)[0], free, atol=1e-5)


def test_gradients_are_those_of_the_limited_offsets_and_do_not_vanish_at_the_limit() -> None:
    layer, input = make_layer(), torch.randn(1, 2, 2, 4, 5, dtype=torch.float64)
    assert layer.predictor.bias is not None
    limit_offsets(layer, 0.7)

    def offsets(bias: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = torch.func.functional_call(layer, {"predictor.bias": bias}, (input,))
        return output

    bias = torch.full_like(layer.predictor.bias, 0.9).requires_grad_()
    assert torch.autograd.gradcheck(offsets, bias)
    (gradient,) = torch.autograd.grad(layer.predict(input)[0].sum(), layer.predictor.bias)
    assert (gradient[: 2 * 27] > 0).all()


def test_the_limit_is_shown_and_can_be_removed() -> None:
    net = nn.Sequential(make_layer(), nn.Conv3d(3, 3, 1), make_layer(modulation=False))
    limit_offsets(net, 8)
    assert repr(net).count("max_offset=8") == 2
    limit_offsets(net, None)
    assert "max_offset" not in repr(net)
    with pytest.raises(ValueError, match="pixels is 0, expected a positive number of pixels"):
        limit_offsets(net, 0)
