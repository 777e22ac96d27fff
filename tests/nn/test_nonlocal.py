"""The non-local block against its equations, written with full matrices."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.nn.non_local import NonLocalBlock3d


def attend(block: NonLocalBlock3d, x: Tensor, mode: str, scale: bool, pool: str) -> Tensor:
    """Equation (6) of arXiv:1711.07971 for one clip, with full matrices."""

    def linear(layer: nn.Conv3d, y: Tensor) -> Tensor:
        assert layer.bias is not None
        return torch.unflatten(layer.weight.flatten(1) @ y.flatten(1) + layer.bias[:, None], 1, y.shape[1:])

    def halve(y: Tensor) -> Tensor:
        return F.max_pool3d(y, (1, 2, 2))

    theta = linear(block.theta, x).flatten(1)
    if pool == "after":
        phi, g = (halve(linear(layer, x)).flatten(1) for layer in (block.phi, block.g))
    else:
        keys = halve(x) if pool == "before" else x
        phi, g = (linear(layer, keys).flatten(1) for layer in (block.phi, block.g))
    weights = theta.T @ phi
    if mode == "softmax":
        weights = (weights / len(theta) ** 0.5 if scale else weights).softmax(dim=1)
    else:
        weights = weights / phi.shape[1]
    y = linear(block.out, torch.unflatten(g @ weights.T, 1, x.shape[1:]))
    mean, variance = block.bn.running_mean, block.bn.running_var
    assert mean is not None
    assert variance is not None
    y = (y - mean[:, None, None, None]) / (variance[:, None, None, None] + block.bn.eps).sqrt()
    return x + y * block.bn.weight[:, None, None, None] + block.bn.bias[:, None, None, None]


def make_block(**options: object) -> NonLocalBlock3d:
    block = NonLocalBlock3d(6, 4, **options).double().eval()  # type: ignore[arg-type]
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    return block


@pytest.mark.parametrize("pool", ["before", "after", "none"])
@pytest.mark.parametrize(("mode", "scale"), [("softmax", True), ("softmax", False), ("dot_product", True)])
@torch.no_grad()
def test_equation(mode: str, scale: bool, pool: str) -> None:
    block = make_block(mode=mode, scale=scale, pool=pool)
    clip = torch.randn(2, 6, 4, 5, 7, dtype=torch.double)
    expected = torch.stack([attend(block, x, mode, scale, pool) for x in clip])
    torch.testing.assert_close(block(clip), expected)


@torch.no_grad()
def test_groups_attend_within_their_part_of_the_clip() -> None:
    block = make_block(groups=2)
    clip = torch.randn(1, 6, 4, 4, 4, dtype=torch.double)
    halves = [attend(block, half, "softmax", True, "before") for half in clip[0].chunk(2, dim=1)]
    torch.testing.assert_close(block(clip)[0], torch.cat(halves, dim=1))
    with pytest.raises(ValueError, match="3 time steps can't be divided into 2 groups"):
        block(clip[:, :, :3])


def test_it_starts_as_the_identity() -> None:
    block = NonLocalBlock3d(8)
    clip = torch.randn(2, 8, 2, 4, 4)
    assert torch.equal(block(clip), clip)


@pytest.mark.parametrize(("channels", "parameters"), [(512, 526_592), (1024, 2_101_760)])
def test_parameters(channels: int, parameters: int) -> None:
    """As in SlowFast's I3D: 4 C C/2 + 3 C/2 + C + 2C."""
    with torch.device("meta"):
        assert sum(p.numel() for p in NonLocalBlock3d(channels).parameters()) == parameters


def test_gradients() -> None:
    block = make_block(pool="none")
    clip = torch.randn(1, 6, 2, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(block, clip)


@pytest.mark.parametrize("option", [{"mode": "gaussian"}, {"pool": "twice"}])
def test_unknown_options(option: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(option.values()))):
        NonLocalBlock3d(8, **option)  # type: ignore[arg-type]
