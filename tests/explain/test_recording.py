"""Recorded offsets and masks, their sums by layer, and spread against motion."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from helpers.networks import create
from torch import nn

from ls3d.data.rendered import Layer, random_texture, render
from ls3d.explain import SpreadStatistics, measure_spread, offset_fields, record_sampling, trace
from ls3d.models import EnhancementNetwork, load_enhancement_model
from ls3d.models.enhancement import _synthesis
from ls3d.nn import LS3DConv3d


def test_recording_changes_no_output_and_notes_every_layer() -> None:
    network = create(EnhancementNetwork, "vfi_ls3d", width=8).eval()
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, LS3DConv3d)}
    for layer in layers.values():
        nn.init.normal_(layer.predictor.weight, std=0.1)
    inputs: dict[str, torch.Tensor] = {}
    handles = [
        layer.register_forward_pre_hook(lambda _, args, name=name: inputs.update({name: args[0]}))
        for name, layer in layers.items()
    ]
    frames = torch.rand(1, 3, 2, 16, 20)
    with torch.no_grad():
        plain = network(frames)
        with record_sampling(network) as calls:
            recorded = network(frames)
    for handle in handles:
        handle.remove()
    assert torch.equal(recorded, plain)
    assert [call.name for call in calls] == list(layers)
    for call in calls:
        offset, mask = layers[call.name].predict(inputs[call.name])
        assert mask is not None
        assert call.mask is not None
        assert torch.equal(call.offset, offset)
        assert torch.equal(call.mask, mask)
        assert call.margin is None


@pytest.mark.parametrize("name", ["vfi", "bilateral", "vdn", "vsr"])
def test_recording_bundled_networks(name: str) -> None:
    network = load_enhancement_model(name)
    traits = network.traits
    frames = torch.rand(1, 3, traits.frames_before + 1 + traits.frames_after, 16, 24)
    arguments = ([0.5],) if traits.times else (torch.tensor([0.1]),)
    with torch.no_grad():
        plain = network(frames, *arguments)
        with record_sampling(network) as calls:
            assert torch.equal(network(frames, *arguments), plain)
    assert calls


def test_positions_of_a_layer() -> None:
    """The regular grid of a strided and dilated kernel plus the offsets, in loops."""
    layer = LS3DConv3d(4, 2, (2, 3, 1), (1, 2, 1), (1, 2, 0), (1, 2, 1), offset_groups=2).double()
    nn.init.normal_(layer.predictor.weight)
    input = torch.randn(1, 4, 3, 7, 5, dtype=torch.float64)
    with record_sampling(layer) as calls:
        layer(input)
    (call,) = calls
    positions = call.positions()
    frames = call.frames()
    assert positions.shape == (1, 2, 6, 2, 4, 4, 5)
    for group, a, i, t, y, x in itertools.product(range(2), range(2), range(3), range(4), range(4), range(5)):
        tap = a * 3 + i
        dy, dx = call.offset[0, group * 12 + 2 * tap : group * 12 + 2 * tap + 2, t, y, x].tolist()
        assert frames[tap, t] == t + a - 1
        expected = (2 * y + 2 * i - 2 + dy, x + dx)
        assert positions[0, group, tap, :, t, y, x].tolist() == pytest.approx(expected)


def moving(velocity: tuple[float, float], size: tuple[int, int]) -> torch.Tensor:
    texture = random_texture(torch.Generator().manual_seed(1))
    return render([Layer(texture, None, (0.0, 0.0), velocity)], [0, 1], size)


def test_offsets_of_a_translation_are_half_its_motion() -> None:
    traced = trace(load_enhancement_model("bilateral"), moving((2.0, -6.0), (48, 64)))
    first, second = offset_fields(traced.calls)
    assert (first.layer, first.frame, second.frame) == ("", 0, 1)
    inner = (..., slice(12, -12), slice(12, -12))
    for field, part in ((first, -0.5), (second, 0.5)):
        np.testing.assert_allclose(np.median(field.offset[inner], axis=(1, 2)), [2 * part, -6 * part], atol=0.1)
    np.testing.assert_allclose(first.mask + second.mask, 1, atol=1e-4)


def test_fields_do_not_depend_on_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = moving((1.0, 3.0), (24, 30))
    whole = offset_fields(trace(load_enhancement_model("vfi"), frames).calls)
    monkeypatch.setattr(_synthesis, "_BAND_PIXELS", 10 * 30)
    banded = trace(load_enhancement_model("vfi"), frames)
    assert len(banded.calls) == 6
    for field, other in zip(whole, offset_fields(banded.calls), strict=True):
        np.testing.assert_allclose(field.offset, other.offset, atol=1e-4)
        np.testing.assert_allclose(field.mask, other.mask, atol=1e-5)


def test_fields_of_a_layer_are_weighted_means() -> None:
    layer = LS3DConv3d(2, 2, (1, 1, 2))
    assert layer.predictor.bias is not None
    with torch.no_grad():
        layer.predictor.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0, 0.0, np.log(3)]))  # masks 1/2 and 3/4
    with record_sampling(layer) as calls, torch.no_grad():
        layer(torch.rand(1, 2, 1, 3, 4))
    (field,) = offset_fields(calls)
    expected = (1 * 0.5 + 3 * 0.75) / 1.25, (2 * 0.5 + 4 * 0.75) / 1.25
    assert field.offset[:, 1, 1].tolist() == pytest.approx(expected)
    assert field.mask[1, 1] == pytest.approx(0.625)


def test_rank_correlation() -> None:
    """The ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4 have a correlation of 4.5 / sqrt(4.5 * 5)."""
    statistics = SpreadStatistics(np.array([0.0, 2.0, 2.0, 9.0]), np.array([1.0, 30.0, 20.0, 40.0]))
    assert statistics.correlation() == pytest.approx(0.9487, abs=1e-4)
    assert np.isnan(SpreadStatistics(np.ones(4), np.arange(4.0)).correlation())


def test_spread_is_measured_with_the_true_motion() -> None:
    traced = trace(load_enhancement_model("bilateral"), moving((3.0, 4.0), (48, 48)))
    measured = measure_spread(traced, pixels=9)
    assert np.median(measured.motion) == pytest.approx(5, abs=0.5)
    true = measure_spread(traced, pixels=9, motion=torch.tensor([3.0, 4.0])[:, None, None].expand(2, 48, 48))
    assert true.motion.tolist() == pytest.approx([5.0] * 9)
    assert true.spread.tolist() == measured.spread.tolist()
