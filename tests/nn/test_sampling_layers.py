"""``LS3DConv3d``, conversion of networks, parameter groups and offset statistics."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from ls3d.models import create_model
from ls3d.nn import Conv3d, LS3DConv3d, LS3DResBlock, convert, offset_statistics, parameter_groups
from ls3d.ops import ls3d_conv3d

CONVOLUTIONS = {
    "plain": nn.Conv3d(4, 6, 3, padding=1),
    "uneven": nn.Conv3d(4, 6, (2, 3, 1), (2, 1, 3), (1, 2, 0), (1, 2, 1), groups=2, bias=False),
    "same": nn.Conv3d(4, 4, (3, 1, 3), padding="same"),
    "same even": nn.Conv3d(4, 4, (2, 4, 3), padding="same"),
    "reflect": nn.Conv3d(4, 4, 3, padding=1, padding_mode="reflect"),
    "circular": nn.Conv3d(4, 4, 3, padding=(0, 1, 2), padding_mode="circular"),
    "depthwise": nn.Conv3d(4, 4, 3, padding=1, groups=4),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("modulation", [True, False])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_from_conv3d_keeps_the_output(name: str, modulation: bool) -> None:
    conv, clip = CONVOLUTIONS[name], torch.randn(2, 4, 5, 7, 8)
    layer = LS3DConv3d.from_conv3d(conv, modulation=modulation, offset_groups=2)
    torch.testing.assert_close(layer(clip), conv(clip), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer(clip[0]), conv(clip[0]), rtol=1e-5, atol=1e-5)


def test_from_conv3d_keeps_dtype_mode_and_frozen_parameters() -> None:
    conv = nn.Conv3d(2, 3, 3).double().eval()
    conv.weight.requires_grad_(False)
    layer = LS3DConv3d.from_conv3d(conv)
    assert layer.weight.dtype == layer.predictor.weight.dtype == torch.float64
    assert not layer.training
    assert not layer.weight.requires_grad
    assert layer.bias is not None
    assert layer.bias.requires_grad


def test_offset_groups_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="offset_groups is 3, expected a divisor of the 4 input channels"):
        LS3DConv3d(4, 4, 3, offset_groups=3)


def test_one_step_moves_every_parameter_of_the_layer() -> None:
    layer, clip = LS3DConv3d(4, 4, 3, padding=1), torch.randn(1, 4, 3, 6, 6)
    optimizer = torch.optim.SGD(parameter_groups(layer, lr=0.1))
    before = {name: parameter.clone() for name, parameter in layer.named_parameters()}
    layer(clip).square().sum().backward()
    optimizer.step()
    assert all(not torch.equal(parameter, before[name]) for name, parameter in layer.named_parameters())


def test_a_layer_learns_a_shift() -> None:
    """The layer fits a shift by a fraction of a pixel with its offsets alone: its only weight is fixed at one."""
    layer = LS3DConv3d(1, 1, 1, modulation=False, bias=False).double()
    nn.init.ones_(layer.weight)
    layer.weight.requires_grad_(False)
    columns = torch.linspace(0, 3, 24, dtype=torch.float64)
    clip, target = columns.sin().expand(1, 1, 2, 8, 24), (columns + 0.4 * 3 / 23).sin().expand(1, 1, 2, 8, 24)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        (layer(clip) - target)[..., :-1].square().mean().backward()
        optimizer.step()
    offset, _ = layer.predict(clip)
    assert abs(offset[:, 1].mean().item() - 0.4) < 0.1


def test_a_layer_samples_bicubically_on_request() -> None:
    layer, clip = LS3DConv3d(2, 3, 3, padding=1, interpolation="bicubic"), torch.randn(1, 2, 3, 6, 7)
    nn.init.normal_(layer.predictor.weight)
    sampling, sizes = layer.predict(clip), (layer.stride, layer.padding, layer.dilation, layer.groups)
    expected = ls3d_conv3d(clip, *sampling, layer.weight, layer.bias, *sizes, "bicubic")  # type: ignore[arg-type]
    assert torch.equal(layer(clip), expected)
    layer.interpolation = "bilinear"
    assert not torch.allclose(layer(clip), expected)


@pytest.mark.parametrize("learnable", [True, False])
def test_residual_block_is_figure_2a(learnable: bool) -> None:
    block, clip = LS3DResBlock(4, learnable_sampling=learnable), torch.randn(1, 4, 2, 5, 6)
    assert isinstance(block.conv1, LS3DConv3d) == learnable
    assert type(block.conv2) is Conv3d
    torch.testing.assert_close(block(clip), clip + block.conv2(block.conv1(clip).relu()))


def test_copies_and_pickles_compute_the_same() -> None:
    layer, clip = LS3DConv3d(3, 3, 3, padding=1, offset_groups=3), torch.randn(1, 3, 2, 5, 6)
    nn.init.normal_(layer.predictor.weight)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(clip), layer(clip))
    twin = LS3DConv3d(3, 3, 3, padding=1, offset_groups=3)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin(clip), layer(clip))
    layer.reset_sampling()
    assert layer.predict(clip)[0].count_nonzero() == 0


def test_repr_shows_the_options_of_the_layer() -> None:
    assert "modulation=False, offset_groups=2" in repr(LS3DConv3d(4, 4, 3, modulation=False, offset_groups=2))
    assert "interpolation=bicubic" in repr(LS3DConv3d(4, 4, 3, interpolation="bicubic"))


class _Branches(nn.Module):
    """A convolution that is used twice, one in a list, a subclass of convolution, and a convolution of one tap."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Conv3d(4, 4, 3, padding=1)
        self.again = self.shared
        self.listed = nn.ModuleList([nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0)), nn.Conv3d(4, 4, 1)])
        self.sampled = LS3DConv3d(4, 4, 3, padding=1)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        clip = self.again(self.shared(clip).relu())
        for layer in self.listed:
            clip = clip + layer(clip)
        output: torch.Tensor = self.sampled(clip)
        return output


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "r2plus1d_18": (lambda: create_model("r2plus1d_18", num_classes=5), (1, 3, 4, 32, 32)),
    "ir_csn_50": (lambda: create_model("ir_csn_50", num_classes=5), (1, 3, 4, 32, 32)),
    "vfi_conv3d": (lambda: create_model("vfi_conv3d", width=8), (1, 3, 2, 16, 16)),
    "branches": (_Branches, (1, 4, 3, 6, 6)),
    "sequential": (
        lambda: nn.Sequential(nn.Conv3d(3, 4, 3, padding=1, padding_mode="replicate"), nn.ReLU()),
        (1, 3, 2, 5, 5),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_conversion_keeps_the_output_and_then_learns(name: str) -> None:
    make, shape = NETWORKS[name]
    model, clip = make().eval(), torch.rand(shape)
    with torch.no_grad():
        expected = model(clip)
    assert convert(model) is model
    layers = [layer for layer in model.modules() if isinstance(layer, LS3DConv3d)]
    found = model(clip)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())
    optimizer = torch.optim.SGD(parameter_groups(model, lr=1e-3))
    (found - torch.randn_like(found)).square().sum().backward()
    optimizer.step()
    assert all(layer.predictor.weight.count_nonzero() for layer in layers)


def test_conversion_chooses_by_pattern_and_by_function() -> None:
    model = _Branches()
    convert(model, where="listed.*")
    assert [isinstance(layer, LS3DConv3d) for layer in model.listed] == [True, True]
    assert type(model.shared) is nn.Conv3d
    model = _Branches()
    convert(model, where=lambda name, conv: conv.kernel_size == (3, 1, 1), modulation=False)
    assert [isinstance(layer, LS3DConv3d) for layer in model.listed] == [True, False]
    assert "modulation=False" in repr(model.listed[0])
    model = _Branches()
    convert(model)
    assert model.shared is model.again
    assert type(model.sampled.predictor) is Conv3d


def test_subclasses_that_compute_the_same_are_converted() -> None:
    class Simple(nn.Conv3d):
        """As torchvision's: only the constructor differs."""

        def __init__(self, channels: int) -> None:
            super().__init__(channels, channels, 3, padding=1)

    layer = Simple(2)
    converted = convert(nn.Sequential(layer))[0]  # type: ignore[index]
    clip = torch.rand(1, 2, 3, 5, 6)
    assert type(converted) is LS3DConv3d
    torch.testing.assert_close(converted(clip), layer(clip))


def test_what_conversion_would_change_or_lose_is_left_and_named(caplog: pytest.LogCaptureFixture) -> None:
    class Doubled(nn.Conv3d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(input)

    hooked, parametrized, old = (nn.Conv3d(2, 2, 3) for _ in range(3))
    hooked.register_forward_hook(lambda module, arguments, output: output + 1)
    weight_norm(parametrized)
    nn.utils.weight_norm(old)
    layers = [Doubled(2, 2, 3), hooked, parametrized, old, nn.Conv3d(2, 2, 3)]
    model = convert(nn.Sequential(*layers))
    assert [new is layer for new, layer in zip(model.children(), layers, strict=True)] == [True] * 4 + [False]
    assert [record.getMessage() for record in caplog.records] == [
        "0 is not converted: it is a Doubled, which computes something else than torch.nn.Conv3d",
        "1 is not converted: it has hooks",
        "2 is not converted: it has parametrizations",
        "3 is not converted: it has hooks",
    ]


def test_converting_a_convolution_returns_the_layer() -> None:
    assert isinstance(convert(nn.Conv3d(2, 2, 3)), LS3DConv3d)


def test_conversion_of_nothing_is_an_error() -> None:
    model = nn.Sequential(nn.Conv3d(2, 2, 3), nn.Conv3d(2, 2, 1))
    for where in ("head", ["0", "head"]):
        with pytest.raises(ValueError, match="no 3D convolution of the model matches 'head'; it has 0, 1"):
            convert(model, where=where)
    with pytest.raises(ValueError, match="it has 0, 1"):
        convert(model, where=lambda name, conv: False)
    assert not any(isinstance(layer, LS3DConv3d) for layer in model)
    with pytest.raises(ValueError, match="it has none"):
        convert(nn.Linear(2, 2))


def test_parameter_groups_have_a_lower_rate_for_predictors() -> None:
    block, head = LS3DResBlock(4), nn.Conv3d(4, 2, 1)
    assert head.bias is not None
    head.bias.requires_grad_(False)
    model = nn.Sequential(block, head)
    features, sampling = parameter_groups(model, lr=1e-3, sampling_factor=0.05)
    assert sampling["lr"] == pytest.approx(5e-5)
    assert features["lr"] == 1e-3
    assert isinstance(block.conv1, LS3DConv3d)
    predictor = block.conv1.predictor
    assert [id(p) for p in sampling["params"]] == [id(predictor.weight), id(predictor.bias)]
    assert len(features["params"]) == 5
    assert [group["name"] for group in parameter_groups(nn.Linear(2, 2), 1.0)] == ["features"]


def test_offset_statistics_are_those_of_the_last_pass() -> None:
    first = LS3DConv3d(2, 2, (1, 1, 1))
    assert first.predictor.bias is not None
    model = nn.Sequential(first, nn.ReLU(), LS3DConv3d(2, 2, 3, padding=1))
    clip = torch.randn(1, 2, 2, 4, 10)
    with offset_statistics(model) as found:
        model(clip)
        assert found["0"].mean == found["0"].max == found["0"].outside == 0
        # Of the 3 x 3 spatial taps at the padded border, those at row -1, row H, column -1 or column W are outside.
        inside = (3 * 4 - 2) * (3 * 10 - 2) / (3 * 4 * 3 * 10)
        assert found["2"].outside == pytest.approx(1 - inside)
        with torch.no_grad():
            first.predictor.bias.copy_(torch.tensor([3.0, 4.0, 0.0]))
        model(clip)
        assert found["0"].mean == pytest.approx(5)
        assert found["0"].max == pytest.approx(5)
        assert found["0"].outside == pytest.approx(1 - (1 / 4) * (6 / 10))
    model(clip * 2)
    assert len(first._forward_hooks) == 0
