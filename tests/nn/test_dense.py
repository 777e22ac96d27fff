"""``Conv3d`` gives what ``torch.nn.Conv3d`` gives, wherever that can be used."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from ls3d._torch_internals import onednn_convolution
from ls3d.nn import Conv3d, LS3DConv3d, convert, dense, use_fast_convolutions


@pytest.fixture
def calls() -> Iterator[list[tuple[int, ...]]]:
    """The shapes of the inputs that oneDNN is called with."""
    found: list[tuple[int, ...]] = []

    def record(input: Tensor, *arguments: object) -> Tensor:
        found.append(tuple(input.shape))
        return onednn_convolution(input, *arguments)  # type: ignore[arg-type]

    with patch.object(dense, "onednn_convolution", record):
        yield found


def pair(*arguments: int, **options: object) -> tuple[Conv3d, nn.Conv3d]:
    fast, plain = Conv3d(*arguments, **options), nn.Conv3d(*arguments, **options)  # type: ignore[arg-type]
    plain.load_state_dict(fast.state_dict())
    return fast, plain


def assert_same(fast: nn.Module, plain: nn.Module, input: Tensor) -> None:
    """Outputs and all gradients agree."""
    results = []
    for layer in (fast, plain):
        leaf = input.clone().requires_grad_()
        output = layer(leaf)
        layer.zero_grad()
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        results.append([output, leaf.grad, *(parameter.grad for parameter in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@given(
    st.integers(1, 2),
    st.integers(1, 24),
    st.integers(1, 24),
    st.tuples(*[st.integers(1, 4)] * 3),
    st.tuples(*[st.integers(1, 2)] * 3),
    st.booleans(),
    st.booleans(),
)
def test_results_are_those_of_torch(
    batch: int,
    channels: int,
    out_channels: int,
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int],
    bias: bool,
    last: bool,
) -> None:
    torch.manual_seed(0)
    padding = tuple(k // 2 for k in kernel)
    fast, plain = pair(channels, out_channels, kernel_size=kernel, stride=stride, padding=padding, bias=bias)
    input = torch.randn(batch, channels, 4, 18, 20)
    assert_same(fast, plain, input.contiguous(memory_format=torch.channels_last_3d) if last else input)


def test_a_slow_convolution_goes_to_onednn(calls: list[tuple[int, ...]]) -> None:
    fast, plain = pair(16, 16, 3, padding=1, dilation=1)
    input = torch.randn(1, 16, 3, 24, 24)
    torch.testing.assert_close(fast(input), plain(input), rtol=1e-4, atol=1e-5)
    assert calls == [(1, 16, 3, 24, 24)]


@pytest.mark.parametrize(
    ("layer", "input"),
    [
        (Conv3d(16, 16, 3), torch.randn(2, 16, 3, 24, 24)),
        (Conv3d(16, 16, 3), torch.randn(16, 3, 24, 24)),
        (Conv3d(16, 16, 3, groups=2), torch.randn(1, 16, 3, 24, 24)),
        (Conv3d(16, 16, 3, padding="same"), torch.randn(1, 16, 3, 24, 24)),
        (Conv3d(16, 16, 3, padding=1, padding_mode="reflect"), torch.randn(1, 16, 3, 24, 24)),
        (Conv3d(16, 16, 3).double(), torch.randn(1, 16, 3, 24, 24).double()),
        (Conv3d(64, 64, 1), torch.randn(1, 64, 3, 24, 24)),
        (Conv3d(2, 2, 3), torch.randn(1, 2, 3, 5, 5)),
    ],
    ids=["batch", "unbatched", "groups", "same", "reflect", "float64", "pointwise", "tiny"],
)
def test_what_torch_does_well_is_left_to_torch(layer: Conv3d, input: Tensor, calls: list[tuple[int, ...]]) -> None:
    plain = nn.Conv3d.forward(layer, input)
    assert torch.equal(layer(input), plain)
    assert not calls


def test_transforms_graphs_and_modes_see_torchs_convolution(calls: list[tuple[int, ...]]) -> None:
    layer, input = Conv3d(16, 16, 3), torch.randn(1, 16, 3, 24, 24)
    torch.func.vmap(layer)(input[None])
    with forward_ad.dual_level():
        layer(forward_ad.make_dual(input, torch.ones_like(input)))
    with torch.autocast("cpu"):
        assert layer(input).dtype == torch.bfloat16
    exported = torch.export.export(layer, (input,))
    assert "conv3d" in str(exported.graph)
    torch.jit.trace(layer, input, check_trace=False)
    layer.to("meta")(input.to("meta"))
    assert not calls


def test_operations_are_counted() -> None:
    layer, input = Conv3d(16, 16, 3), torch.randn(1, 16, 3, 24, 24)
    counts = []
    for forward in (layer, lambda x: nn.Conv3d.forward(layer, x)):
        with FlopCounterMode(display=False) as counter:
            forward(input)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_networks_of_others_can_use_it(calls: list[tuple[int, ...]]) -> None:
    class Own(nn.Conv3d):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input)

    model = use_fast_convolutions(nn.Sequential(nn.Conv3d(16, 16, 3), Own(16, 16, 3), LS3DConv3d(16, 16, 3)))
    assert [type(module) for module in model] == [Conv3d, Own, LS3DConv3d]
    model[0](torch.randn(1, 16, 3, 24, 24))
    assert len(calls) == 1
    assert convert(model) is model
    assert [type(module) for module in model] == [LS3DConv3d, Own, LS3DConv3d]
