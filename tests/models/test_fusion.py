"""Late fusion of any networks: heads, missing modalities, saving, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.networks import create
from torch import Tensor

from ls3d.errors import InputError
from ls3d.models import load_model, save_weights
from ls3d.models.outline import make_outline
from ls3d.models.recognition.fusion import LateFusionNet

SMALL: dict[str, Any] = {
    "clip_arguments": {"width": 4},
    "flow_arguments": {"width": 8, "blocks": [1, 1, 1, 1]},
    "num_classes": 5,
    "unimodal_heads": True,
}


def make_inputs(count: int = 2) -> dict[str, Tensor]:
    return {
        "clip": torch.randn(count, 3, 4, 16, 16),
        "flow": torch.randn(count, 2, 4, 16, 16),
        "spectrogram": torch.randn(count, 1, 100, 40),
    }


def fused(**arguments: Any) -> LateFusionNet:
    return create(LateFusionNet, "late_fusion", **{**SMALL, **arguments}).eval()


@torch.no_grad()
def test_heads_see_their_own_modality_and_the_joint_one_all() -> None:
    network = fused()
    inputs = make_inputs()
    assert network.heads == ("clip", "flow", "spectrogram", "joint")
    logits = network.forward_heads(inputs, network.heads)
    assert {name: tuple(value.shape) for name, value in logits.items()} == dict.fromkeys(network.heads, (2, 5))
    torch.testing.assert_close(network(**inputs), logits["joint"])
    torch.testing.assert_close(network(*inputs.values()), logits["joint"])
    changed = network.forward_heads({**inputs, "flow": -inputs["flow"]}, network.heads)
    assert [name for name in network.heads if not torch.allclose(changed[name], logits[name])] == ["flow", "joint"]
    alone = network.forward_heads({"flow": inputs["flow"]}, ["flow"])
    assert list(alone) == ["flow"]
    torch.testing.assert_close(alone["flow"], logits["flow"])


@torch.no_grad()
def test_features_of_missing_modalities_are_zeros() -> None:
    network = fused()
    inputs = make_inputs()
    without = {name: value for name, value in inputs.items() if name != "spectrogram"}
    present = {name: torch.tensor([True, name != "spectrogram"]) for name in inputs}
    masked = network.forward_heads(inputs, ["joint"], present)["joint"]
    torch.testing.assert_close(masked[0], network(**inputs)[0])
    torch.testing.assert_close(masked[1], network(**without)[1])


@pytest.mark.parametrize(("heads", "parameters"), [(False, 83_108_016), (True, 84_747_216)])
def test_the_published_network_is_a_special_case(heads: bool, parameters: int) -> None:
    """R3D-50 and the audio network of 50 layers."""
    names = {"clip": "r3d_50", "flow": None, "spectrogram": "audio_resnet_50"}
    network = make_outline("late_fusion", {**names, "unimodal_heads": heads})
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("clip", "arguments"),
    [
        ("r2plus1d_18", {"width": 4, "stem_width": 4}),
        ("ir_csn_50", {"width": 4}),
        ("i3d_r50", {"width": 4, "ls3d": True}),
    ],
)
@torch.no_grad()
def test_any_network_can_be_fused_and_saved(clip: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    network = fused(clip=clip, clip_arguments=arguments, flow=None, spectrogram=None)
    assert network.heads == ("joint",)
    loaded = load_model(save_weights(network, tmp_path / "weights.safetensors"))
    inputs = {"clip": make_inputs(1)["clip"]}
    torch.testing.assert_close(loaded(**inputs), network(**inputs))
    network.reset_classifier(0)
    torch.testing.assert_close(network(**inputs), network.tower("clip")(inputs["clip"]))


def test_new_classifiers_and_checkpointing() -> None:
    network = fused().train()
    network.reset_classifier(3)
    network.set_grad_checkpointing()
    inputs = make_inputs()
    logits = network.forward_heads(inputs, network.heads)
    assert {value.shape[1] for value in logits.values()} == {3}
    torch.stack(list(logits.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clip": None, "flow": None, "spectrogram": None}, "at least one modality"),
        (
            {"clip": "audio_resnet_18", "clip_arguments": {}},
            "clip is audio_resnet_18, expected a network that takes a clip",
        ),
        ({"spectrogram": "r3d_18"}, "expected a network that takes a spectrogram"),
        ({"clip": "vfi_ls3d", "clip_arguments": {}}, "vfi_ls3d takes no argument 'num_classes'"),
        ({"clip_arguments": {"width": "x"}}, "width is 'x'"),
        ({"clip_arguments": {"depth": 3}}, "takes no argument 'depth'"),
        ({"clip_arguments": {"width": 10**9}}, "expected 0 to"),
        ({"clip_arguments": [4]}, "clip_arguments is"),
    ],
)
def test_unsuitable_networks_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_outline("late_fusion", {**SMALL, **arguments})


def test_unknown_inputs_and_heads_are_refused() -> None:
    network = fused(flow=None)
    with pytest.raises(InputError, match="the inputs are flow; the network takes clip, spectrogram"):
        network.forward_heads({"flow": make_inputs()["flow"]}, ["joint"])
    with pytest.raises(InputError, match="no head flow; it has clip, spectrogram, joint"):
        network.forward_heads(make_inputs(), ["flow"])
    with pytest.raises(InputError, match="the inputs have no clip, which a head needs"):
        network.forward_heads({"spectrogram": make_inputs()["spectrogram"]}, ["clip"])
    assert fused(unimodal_heads=False).heads == ("joint",)
