"""The warping error for known motion."""

from __future__ import annotations

import pytest
import torch

from ls3d.metrics import visible, warp, warping_error


def texture(height: int = 24, width: int = 32) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def constant_flow(dx: float, dy: float, height: int = 24, width: int = 32) -> torch.Tensor:
    flow = torch.tensor([dx, dy], dtype=torch.float64)[None, :, None, None]
    return flow.expand(1, 2, height, width).clone()


def test_warp_samples_where_the_flow_points() -> None:
    picture = texture()
    warped = warp(picture, constant_flow(3, -2))
    torch.testing.assert_close(warped[..., 2:, :-3], picture[..., :-2, 3:])
    half = warp(picture, constant_flow(0.5, 0))
    torch.testing.assert_close(half[..., :-1], (picture[..., :-1] + picture[..., 1:]) / 2)


def test_content_that_moves_along_the_flow_has_no_error() -> None:
    first = texture()
    second = first.roll((2, 5), dims=(2, 3))
    mask = torch.zeros(1, 1, 24, 32, dtype=torch.bool)
    mask[..., :-2, :-5] = True
    assert warping_error(first, second, constant_flow(5, 2), mask).item() == pytest.approx(0, abs=1e-20)
    assert warping_error(first, second, constant_flow(0, 0), mask).item() > 0.1


def test_the_error_is_the_squared_norm_of_the_change() -> None:
    first = texture() / 2
    change = torch.tensor([0.1, -0.2, 0.2], dtype=torch.float64)[:, None, None]
    assert warping_error(first, first + change, constant_flow(0, 0)).item() == pytest.approx(0.09)


def test_pixels_are_visible_where_forward_and_backward_flow_cancel() -> None:
    assert visible(constant_flow(3, 1), constant_flow(-3, -1)).all()
    assert not visible(constant_flow(3, 1), constant_flow(3, 1)).any()


def test_motion_boundaries_are_not_visible() -> None:
    forward, backward = constant_flow(0, 0), constant_flow(0, 0)
    forward[..., 16:] = 4
    backward[..., 20:] = -4
    mask = visible(forward, backward)[0, 0, 12]
    assert not mask[15:17].any()
    assert mask[:14].all()


def test_unsuitable_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="flow"):
        warp(texture(), constant_flow(0, 0, 24, 30))
