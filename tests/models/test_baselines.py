"""The baselines without weights."""

from __future__ import annotations

import pytest
import torch

from ls3d.models import create_model, list_models, load_enhancement_model, load_model, model_info

FIRST, SECOND = torch.rand(2, 3, 8, 10, generator=torch.Generator().manual_seed(1)).unbind(0)
PAIR = torch.stack([FIRST, SECOND], dim=1)[None]


def test_blend_is_linear_in_time() -> None:
    output = load_model("blend")(PAIR)
    assert output.shape == (1, 3, 5, 8, 10)
    for index in range(5):
        expected = FIRST + (SECOND - FIRST) * index / 4
        torch.testing.assert_close(output[0, :, index], expected)


def test_repeat_returns_the_first_frame_before_the_second() -> None:
    output = load_model("repeat")(PAIR)
    for index in range(4):
        assert torch.equal(output[0, :, index], FIRST)
    assert torch.equal(output[0, :, 4], SECOND)


@pytest.mark.parametrize("name", ["blend", "repeat"])
@pytest.mark.parametrize("indices", [[2], [1, 3], [0, 2, 4]])
def test_times_choose_the_frames(name: str, indices: list[int]) -> None:
    model = load_model(name)
    assert torch.equal(model(PAIR, [index / 4 for index in indices]), model(PAIR)[:, :, indices])


def test_blend_makes_a_frame_at_any_time() -> None:
    torch.testing.assert_close(load_model("blend")(PAIR, [0.3])[0, :, 0], FIRST + 0.3 * (SECOND - FIRST))


def test_bicubic_keeps_constants_and_enlarges_by_four() -> None:
    model = load_enhancement_model("bicubic")
    output = model(torch.full((1, 3, 2, 5, 7), 0.25))
    assert output.shape == (1, 3, 2, 20, 28)
    assert model.traits.scale == 4
    torch.testing.assert_close(output, torch.full_like(output, 0.25))
    assert create_model("bicubic", scale=2)(torch.zeros(1, 3, 1, 5, 7)).shape == (1, 3, 1, 10, 14)


def test_identity_returns_its_input() -> None:
    assert torch.equal(load_model("identity")(PAIR), PAIR)


def test_baselines_are_registered_with_their_task() -> None:
    assert {"blend", "repeat"} <= set(list_models(task="interpolation"))
    assert model_info("bicubic").task == "super-resolution"
    assert model_info("identity").task == "denoising"
