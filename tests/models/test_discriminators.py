"""The discriminators: shapes, receptive fields, and that they learn."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.models.enhancement.discriminators import PatchDiscriminator, discriminator_2d, discriminator_3d

Maker = Callable[..., PatchDiscriminator]

BOTH = pytest.mark.parametrize("make", [discriminator_2d, discriminator_3d])


@BOTH
@pytest.mark.parametrize("size", [(1, 8, 8), (3, 17, 30), (7, 32, 9), (16, 8, 15)])
def test_logits_for_any_size_and_number_of_frames(make: Maker, size: tuple[int, int, int]) -> None:
    frames, height, width = size
    logits = make(width=4)(torch.rand(2, 3, *size))
    assert logits.shape == (2, 1, frames, height // 8, width // 8)


@pytest.mark.parametrize(("make", "frames"), [(discriminator_2d, 1), (discriminator_3d, 3)])
def test_parameters_are_those_of_its_layers(make: Maker, frames: int) -> None:
    w, taps = 64, 16 * frames
    expected = (
        (3 * w * taps + w) + (w * 2 * w * taps + 2 * w) + (2 * w * 4 * w * taps + 4 * w) + (4 * w * 9 * frames + 1)
    )
    assert sum(parameter.numel() for parameter in make().parameters()) == expected


@pytest.mark.parametrize(("make", "reach"), [(discriminator_2d, 0), (discriminator_3d, 4)])
def test_receptive_field_is_one_frame_or_nine(make: Maker, reach: int) -> None:
    """And 38x38 pixels, as documented."""
    frames = torch.rand(1, 3, 13, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(make(width=4).eval()(frames)[0, 0, 6, 4, 4], frames)
    field = gradient[0].abs().sum(0)
    indices = field.sum((1, 2)).nonzero().flatten().tolist()
    assert indices == list(range(6 - reach, 7 + reach))
    rows = field.sum((0, 2)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 38


@BOTH
def test_spectral_norms_are_one(make: Maker) -> None:
    """After a few power iterations, against the singular values of the weights."""
    torch.manual_seed(0)
    model = make(width=4)
    for _ in range(50):
        model(torch.rand(1, 3, 2, 8, 8))
    for layer in model.eval():
        if isinstance(layer, nn.Conv3d):
            norm = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
            torch.testing.assert_close(norm, torch.tensor(1.0), atol=1e-2, rtol=0)


@BOTH
def test_state_restores_equal_logits(make: Maker) -> None:
    """The power iteration's vectors are part of the state, so that training resumes to equal losses."""
    model, frames = make(width=4), torch.rand(1, 3, 3, 16, 16)
    model(frames)
    again = make(width=4)
    again.load_state_dict(copy.deepcopy(model.state_dict()))
    assert torch.equal(model(frames), again(frames))


def _trained_margin(make: Maker) -> Tensor:
    """Mean logit of clips minus that of the reversed clips, after some training."""
    torch.manual_seed(0)
    start = 6.3 * torch.rand(4, 1, 1, 1, 1)
    waves = start + 0.5 * torch.arange(32.0) - 0.8 * torch.arange(5.0)[:, None, None]
    forwards = 0.5 + 0.4 * waves.sin().expand(4, 3, 5, 32, 32)
    model = make(width=8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        (F.softplus(-model(forwards)).mean() + F.softplus(model(forwards.flip(2))).mean()).backward()
        optimizer.step()
    with torch.no_grad():
        margin: Tensor = (model.eval()(forwards) - model(forwards.flip(2))).mean((1, 2, 3, 4))
    return margin


def test_3d_learns_the_order_of_frames_and_2d_does_not() -> None:
    """A clip and the reversed clip have the same frames, in another order."""
    assert _trained_margin(discriminator_3d).min() > 0.1
    assert _trained_margin(discriminator_2d).abs().max() < 1e-4
