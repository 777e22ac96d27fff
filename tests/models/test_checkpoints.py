"""Conversion of checkpoints in the exact layout of each project, compared with an evaluation without our networks."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.foreign_checkpoints import (
    Mmaction2,
    NormNames,
    Plan,
    PytorchVideo,
    ResNets3d,
    SlowFast,
    SlowFastCaffe2,
    Torch,
    Unit,
    Vmz,
    Weights,
    add_unit,
    evaluate,
    features,
    make_plan,
    random_weights,
    run_unit,
)
from helpers.marks import slow_except
from torch import Tensor

from ls3d.errors import InputError
from ls3d.models import convert_checkpoint, load_checkpoint, load_model, read_metadata
from ls3d.models.recognition.audiovisual import AudioVisualNet

SPATIAL = ((1, 3, 3), (1, 2, 2), (0, 1, 1))
EVERYWHERE = ((3, 3, 3), (2, 2, 2), (1, 1, 1))
I3D: dict[str, Any] = {
    "stem_kernel": 5,
    "temporal": (1, 1, 1, 1),
    "first_kernels": ((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1)),
    "pool": SPATIAL,
    "pool2": True,
}
NON_LOCAL: dict[str, Any] = {"attention_at": ((2, 1), (2, 3), (3, 1), (3, 3), (3, 5))}
FLAT = (1, 1, 1, 1)


def save_torch(key: str | None, **others: Any) -> Callable[[Weights, Path], None]:
    """Return a function that writes a file with ``torch.save``: the weights under ``key``, and other entries."""
    return lambda weights, path: torch.save(weights if key is None else {key: weights, **others}, path)


def save_caffe2(weights: Weights, path: Path, **others: Any) -> None:
    """Write a pickle as Caffe2's programs did, with the momenta of training."""
    blobs = {name: tensor.numpy() for name, tensor in weights.items()}
    momenta = {f"{name}_momentum": blob[:1] for name, blob in blobs.items()}
    path.write_bytes(pickle.dumps({"blobs": {**blobs, **momenta}, **others}, protocol=2))


OPTIMIZER = {"state": {0: {"momentum_buffer": torch.zeros(1)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
SLOWFAST = save_torch(
    "model_state", epoch=1, optimizer_state=OPTIMIZER, cfg="NONLOCAL:\n  INSTANTIATION: dot_product\n"
)
PTV = save_torch("model_state")
MMACTION = save_torch("state_dict", meta={"epoch": 1, "CLASSES": ["a"]}, optimizer=OPTIMIZER)
RESNETS = save_torch("state_dict", epoch=1, arch="resnet-18", optimizer=OPTIMIZER, scheduler={"last_epoch": 1})
BARE = save_torch(None)

#: For each case: plan, function that writes it, expected network, some of its expected arguments.
CASES: dict[str, tuple[Plan, Callable[[Weights, Path], None], str, dict[str, Any]]] = {
    "torchvision r3d_18": (make_plan(Torch(), 18, "3d", 1e-5), BARE, "r3d_18", {"bn_eps": 1e-5}),
    "torchvision mc3_18": (
        make_plan(Torch(), 18, ["3d", "2d", "2d", "2d"], 1e-5, temporal=FLAT),
        save_torch("model", epoch=1),
        "mc3_18",
        {"bn_eps": 1e-5},
    ),
    "torchvision r2plus1d_18": (
        make_plan(Torch(), 18, "2+1d", 1e-5, stem_width=45, rule="torchvision"),
        BARE,
        "r2plus1d_18",
        {"bn_eps": 1e-5, "midplanes": "torchvision"},
    ),
    "VMZ-pt r2plus1d_34": (
        make_plan(Torch(), 34, "2+1d", 1e-3, stem_width=45),
        BARE,
        "r2plus1d_34",
        {"bn_eps": 1e-3, "midplanes": "vmz"},
    ),
    "VMZ-pt ir_csn_50": (make_plan(Torch(), 50, "ir", 1e-3, pool=SPATIAL), BARE, "ir_csn_50", {"bn_eps": 1e-3}),
    "VMZ-pt ip_csn_50": (make_plan(Torch(), 50, "ip", 1e-3, pool=SPATIAL), BARE, "ip_csn_50", {"bn_eps": 1e-3}),
    "VMZ r3d_18": (make_plan(Vmz(18), 18, "3d", 1e-3), save_caffe2, "r3d_18", {"bn_eps": 1e-3}),
    "VMZ r2d_18": (
        make_plan(Vmz(18), 18, "2d", 1e-3, stem_kernel=1, temporal=FLAT),
        save_caffe2,
        "fr2d_18",
        {"bn_eps": 1e-3},
    ),
    "VMZ rmc3_18": (
        make_plan(Vmz(18), 18, ["2d", "3d", "3d", "3d"], 1e-3, stem_kernel=1),
        save_caffe2,
        "rmc3_18",
        {"bn_eps": 1e-3},
    ),
    "VMZ r2plus1d_18": (
        make_plan(Vmz(18), 18, "2+1d", 1e-3, stem_width=45),
        save_caffe2,
        "r2plus1d_18",
        {"midplanes": "vmz"},
    ),
    "VMZ r2plus1d_50": (
        make_plan(Vmz(50), 50, "2+1d", 1e-3, stem_width=45),
        save_caffe2,
        "r2plus1d_50",
        {"midplanes": "vmz"},
    ),
    "VMZ ir_csn_50": (make_plan(Vmz(50), 50, "ir", 1e-3, pool=SPATIAL), save_caffe2, "ir_csn_50", {"bn_eps": 1e-3}),
    "VMZ ip_csn_50": (make_plan(Vmz(50), 50, "ip", 1e-3, pool=SPATIAL), save_caffe2, "ip_csn_50", {"bn_eps": 1e-3}),
    "SlowFast i3d": (make_plan(SlowFast(), 50, "2d", 1e-5, **I3D), SLOWFAST, "i3d_r50", {"layout": "slowfast"}),
    "SlowFast i3d_nl": (
        make_plan(SlowFast(), 50, "2d", 1e-5, **I3D, **NON_LOCAL, mode="dot_product"),
        SLOWFAST,
        "i3d_r50_nl",
        {"non_local_mode": "dot_product"},
    ),
    "SlowFast pkl i3d_nl": (
        make_plan(SlowFastCaffe2(), 50, "2d", 1e-5, **I3D, **NON_LOCAL),
        save_caffe2,
        "i3d_r50_nl",
        {"non_local_mode": "softmax"},
    ),
    "pytorchvideo csn": (make_plan(PytorchVideo(), 50, "ir", 1e-5, pool=SPATIAL), PTV, "ir_csn_50", {"bn_eps": 1e-5}),
    "pytorchvideo i3d": (make_plan(PytorchVideo(skip=2), 50, "2d", 1e-5, **I3D), PTV, "i3d_r50", {"bn_eps": 1e-5}),
    "mmaction2 ir_csn_50": (
        make_plan(Mmaction2(), 50, "ir", 1e-3, pool=SPATIAL),
        MMACTION,
        "ir_csn_50",
        {"bn_eps": 1e-3},
    ),
    "mmaction2 ip_csn_50": (
        make_plan(Mmaction2(), 50, "ip", 1e-3, pool=SPATIAL),
        MMACTION,
        "ip_csn_50",
        {"bn_eps": 1e-3},
    ),
    "mmaction2 i3d_nl": (
        make_plan(
            Mmaction2(),
            50,
            "2d",
            1e-5,
            **{**I3D, "pool": ((1, 3, 3), (2, 2, 2), (0, 1, 1)), "stem_stride": 2},
            **NON_LOCAL,
            scaled=False,
            pool_after=True,
        ),
        MMACTION,
        "i3d_r50_nl",
        {"layout": "mmaction2", "non_local_scale": False, "non_local_pool": "after"},
    ),
    "3D-ResNets r3d_18": (
        make_plan(ResNets3d(), 18, "3d", 1e-5, stem_kernel=7, pool=EVERYWHERE),
        RESNETS,
        "r3d_18",
        {"stem_kernel": 7, "pool1": "spatiotemporal"},
    ),
    "3D-ResNets r3d_18 type A": (
        make_plan(ResNets3d(), 18, "3d", 1e-5, stem_kernel=7, pool=EVERYWHERE, zero_padding=True),
        RESNETS,
        "r3d_18",
        {"shortcut": "zero_padding"},
    ),
    "3D-ResNets r2plus1d_18": (
        make_plan(ResNets3d(), 18, "2+1d", 1e-5, stem_kernel=7, stem_width=110, pool=EVERYWHERE),
        RESNETS,
        "r2plus1d_18",
        {"stem_width": 110, "midplanes": "vmz", "stem_kernel": 7},
    ),
}


def double(weights: Weights) -> Weights:
    return {name: tensor.double() for name, tensor in weights.items()}


#: Each layout; others have another depth or another kind of convolution.
QUICK = (
    *("torchvision r3d_18", "VMZ-pt ir_csn_50", "VMZ r2d_18", "VMZ ip_csn_50", "SlowFast i3d", "mmaction2 ir_csn_50"),
    *("mmaction2 i3d_nl", "pytorchvideo csn", "pytorchvideo i3d", "3D-ResNets r3d_18"),
)


@pytest.mark.parametrize("case", slow_except(CASES, QUICK))
def test_a_converted_network_has_the_outputs_of_its_weights(case: str, tmp_path: Path) -> None:
    plan, save, architecture, arguments = CASES[case]
    weights = random_weights(plan)
    save(weights, tmp_path / "checkpoint")
    model = load_checkpoint(tmp_path / "checkpoint").double()
    (tmp_path / "checkpoint").unlink()
    clip = torch.randn(1, 3, 8, 32, 32, dtype=torch.double)
    with torch.no_grad():
        torch.testing.assert_close(model(clip), evaluate(plan, double(weights), clip), rtol=1e-9, atol=1e-9)
    config = model.require_config()
    assert config.architecture == architecture
    assert arguments.items() <= config.arguments.items()


def c3d_units(name: Callable[[str], str], bias: str, norm: Callable[[str], NormNames] | None) -> list[Unit]:
    widths = {"1a": 64, "2a": 128, "3a": 256, "3b": 256, "4a": 512, "4b": 512, "5a": 512, "5b": 512}
    units, inputs = [], 3
    for key, width in widths.items():
        conv = name(f"conv{key}")
        norms = None if norm is None else norm(f"conv{key}")
        units.append(Unit(conv, norms, (width, inputs, 3, 3, 3), bias=conv[: -len(bias)] + BIAS[bias]))
        inputs = width
    return units


BIAS = {"weight": "bias", "_w": "_b"}


def evaluate_c3d(
    units: list[Unit], weights: Weights, linear: list[tuple[str, str]], clip: Tensor, **last: Any
) -> Tensor:
    x = clip
    for number, group in enumerate((units[:1], units[1:2], units[2:4], units[4:6], units[6:]), 1):
        for unit in group:
            x = run_unit(weights, unit, x, 1e-3)
        x = F.max_pool3d(x, (1, 2, 2) if number == 1 else 2, **(last if number == 5 else {}))
    x = x.flatten(1)
    for weight, bias in linear[:-1]:
        x = F.linear(x, weights[weight], weights[bias]).relu()
    return F.linear(x, *(weights[name] for name in linear[-1]))


@pytest.mark.parametrize("project", slow_except(["mmaction2", "VMZ"], ["mmaction2"]))
def test_c3d(project: str, tmp_path: Path) -> None:
    if project == "mmaction2":
        units = c3d_units(lambda name: f"backbone.{name}.conv.weight", "weight", None)
        linear = [(f"{name}.weight", f"{name}.bias") for name in ("backbone.fc6", "backbone.fc7", "cls_head.fc_cls")]
        side, last, save, expected = 4, {"padding": (0, 1, 1)}, MMACTION, ("c3d", "padded")
    else:
        units = c3d_units(lambda name: f"{name}_w", "_w", lambda name: Vmz(18).norm(f"{name}_bn"))
        linear = [(f"{name}_w", f"{name}_b") for name in ("fc6", "fc7", "last_out_L5")]
        side, last, save, expected = 3, {}, save_caffe2, ("c3d_bn", "floor")
    weights: Weights = {}
    for unit in units:
        add_unit(weights, unit)
    for (weight, bias), (inputs, outputs) in zip(linear, ((512 * side**2, 4096), (4096, 4096), (4096, 5)), strict=True):
        weights[weight] = torch.randn(outputs, inputs) * (2 / inputs) ** 0.5
        weights[bias] = torch.randn(outputs)
    save(weights, tmp_path / "checkpoint")
    model = load_checkpoint(tmp_path / "checkpoint")
    clip = torch.randn(1, 3, 16, 112, 112)
    with torch.no_grad():
        torch.testing.assert_close(
            model(clip), evaluate_c3d(units, weights, linear, clip, **last), rtol=1e-4, atol=1e-4
        )
    config = model.require_config()
    assert (config.architecture, config.arguments["pool5"]) == expected


def audio_units(prefix: str, number: int, inputs: int, width: int, stride: int) -> tuple[list[Unit], Unit | None]:
    """Return the convolutions and the shortcut of a basic block of the audio network, with VMZ's names."""
    name, shortcut = f"{prefix}comp_{number}", f"{prefix}shortcut_projection_{number}"
    norm = Vmz(18).norm
    units = [
        Unit(f"{name}_conv_1_w", norm(f"{name}_spatbn_1"), (width, inputs, 3, 3), (stride, stride)),
        Unit(f"{name}_conv_2_w", norm(f"{name}_spatbn_2"), (width, width, 3, 3), (1, 1), relu=False),
    ]
    if inputs == width and stride == 1:
        return units, None
    return units, Unit(f"{shortcut}_w", norm(f"{shortcut}_spatbn"), (width, inputs, 1, 1), (stride, stride), relu=False)


def audio_blocks(prefix: str) -> list[tuple[list[Unit], Unit | None]]:
    """Return the blocks of the audio network of 18 layers."""
    shapes = [(16, 32, 2), (32, 32, 1), (32, 32, 1)]
    for inputs, width in ((32, 64), (64, 128), (128, 256), (256, 512)):
        shapes += [(inputs, width, 2), (width, width, 1)]
    return [audio_units(prefix, number, *shape) for number, shape in enumerate(shapes)]


def add_audio(weights: Weights, prefix: str) -> None:
    add_unit(weights, Unit(f"{prefix}conv1_w", None, (16, 1, 3, 3), bias=f"{prefix}conv1_b"))
    for units, shortcut in audio_blocks(prefix):
        for unit in [*units, shortcut]:
            if unit is not None:
                add_unit(weights, unit)


def audio_features(weights: Weights, prefix: str, spectrogram: Tensor) -> Tensor:
    x = F.conv2d(spectrogram, weights[f"{prefix}conv1_w"], weights[f"{prefix}conv1_b"], padding=1)
    for units, shortcut in audio_blocks(prefix):
        y = x
        for unit in units:
            y = run_unit(weights, unit, y, 1e-3)
        x = (y + (x if shortcut is None else run_unit(weights, shortcut, x, 1e-3))).relu()
    return x.amax(dim=(2, 3))


def add_linear(weights: Weights, name: str, outputs: int, inputs: int) -> None:
    weights[f"{name}_w"], weights[f"{name}_b"] = torch.randn(outputs, inputs) / inputs**0.5, torch.randn(outputs)


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}_w"], weights[f"{name}_b"])


def test_vmz_audio(tmp_path: Path) -> None:
    weights: Weights = {}
    add_audio(weights, "")
    add_linear(weights, "last_out_L5", 5, 512)
    save_caffe2(weights, tmp_path / "checkpoint")
    model = load_checkpoint(tmp_path / "checkpoint").double()
    spectrogram = torch.randn(2, 1, 100, 40, dtype=torch.double)
    weights = double(weights)
    expected = linear(weights, "last_out_L5", audio_features(weights, "", spectrogram))
    with torch.no_grad():
        torch.testing.assert_close(model(spectrogram), expected, rtol=1e-9, atol=1e-9)
    assert model.require_config().architecture == "audio_resnet_18"


def test_vmz_audio_visual_with_heads_for_gradient_blending(tmp_path: Path) -> None:
    plan = make_plan(Vmz(18, prefix="v_"), 18, "3d", 1e-3)
    weights = random_weights(plan)
    add_audio(weights, "a_")
    for name, outputs, inputs in (("av_fc1", 512, 1024), ("av_fc2", 512, 512), ("last_out_L5", 5, 512)):
        add_linear(weights, name, outputs, inputs)
    for name in ("a_last_out_L5", "v_last_out_L5"):
        add_linear(weights, name, 5, 512)
    save_caffe2(weights, tmp_path / "checkpoint")
    model = load_checkpoint(tmp_path / "checkpoint", "av_r3d_18").double()
    assert isinstance(model, AudioVisualNet)
    clip = torch.randn(2, 3, 8, 32, 32, dtype=torch.double)
    spectrogram = torch.randn(2, 1, 100, 40, dtype=torch.double)
    weights = double(weights)
    visual = features(plan, weights, clip).mean(dim=(2, 3, 4))
    audio = audio_features(weights, "a_", spectrogram)
    hidden = linear(weights, "av_fc1", torch.cat([visual, audio], 1)).relu()
    with torch.no_grad():
        logits = model.forward_modalities(clip, spectrogram)
    expected = {
        "joint": linear(weights, "last_out_L5", linear(weights, "av_fc2", hidden).relu()),
        "visual": linear(weights, "v_last_out_L5", visual),
        "audio": linear(weights, "a_last_out_L5", audio),
    }
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


class TestFailures:
    """The error names the tensors that can't be mapped."""

    def weights(self) -> Weights:
        return random_weights(make_plan(Torch(), 18, "3d", 1e-5))

    def refusal(self, weights: Weights, tmp_path: Path, *args: Any, **arguments: Any) -> str:
        torch.save(weights, tmp_path / "checkpoint.pt")
        with pytest.raises(InputError) as caught:
            load_checkpoint(tmp_path / "checkpoint.pt", *args, **arguments)
        return str(caught.value)

    def test_left_over_tensors_are_listed(self, tmp_path: Path) -> None:
        extra = {"layer1.0.se.weight": torch.zeros(1), "layer1.1.se.weight": torch.zeros(1)}
        message = self.refusal({**self.weights(), **extra}, tmp_path)
        assert "layer1.0.se.weight, layer1.1.se.weight" in message

    def test_tensors_that_no_rule_knows_are_listed(self, tmp_path: Path) -> None:
        weights = random_weights(make_plan(Mmaction2(), 50, "ir", 1e-3, pool=SPATIAL))
        assert "backbone.spoon" in self.refusal({**weights, "backbone.spoon": torch.zeros(1)}, tmp_path)

    @pytest.mark.parametrize("name", ["layer3.0.conv1.1.running_var", "layer1.0.conv2.0.weight", "fc.bias"])
    def test_missing_tensors_are_listed(self, name: str, tmp_path: Path) -> None:
        weights = self.weights()
        del weights[name]
        assert name in self.refusal(weights, tmp_path)

    def test_convolutions_of_too_few_dimensions(self, tmp_path: Path) -> None:
        weights = {**self.weights(), "stem.0.weight": torch.zeros(64, 3)}
        assert "three dimensions" in self.refusal(weights, tmp_path)

    def test_a_shape_that_does_not_fit_is_named(self, tmp_path: Path) -> None:
        weights = {**self.weights(), "layer4.1.conv2.0.weight": torch.zeros(512, 512, 3, 3, 1)}
        assert "layer4.1.conv2.0.weight (512, 512, 3, 3, 1)" in self.refusal(weights, tmp_path)

    def test_another_network_than_asked_for(self, tmp_path: Path) -> None:
        assert "r3d_18, not of r3d_34" in self.refusal(self.weights(), tmp_path, "r3d_34")

    def test_an_unknown_layout(self, tmp_path: Path) -> None:
        assert "encoder.weight" in self.refusal({"encoder.weight": torch.zeros(1)}, tmp_path)

    def test_an_argument_that_the_network_does_not_take(self, tmp_path: Path) -> None:
        assert "'layout'" in self.refusal(self.weights(), tmp_path, layout="slowfast")

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("backbone.layer1.0.conv1.conv.conv_s.weight", "mmaction2's R(2+1)D"),
            ("blocks.1.res_blocks.0.branch2.conv_b.conv_t.weight", "r2plus1d_r50"),
            ("s1.pathway1_stem.conv.weight", "two pathways"),
        ],
    )
    def test_networks_of_other_definitions(self, name: str, reason: str, tmp_path: Path) -> None:
        weights = {name: torch.zeros(1), "s1.pathway0_stem.conv.weight": torch.zeros(1)}
        if not name.startswith("s1"):
            del weights["s1.pathway0_stem.conv.weight"]
        assert reason in self.refusal(weights, tmp_path)

    def test_a_2d_network(self, tmp_path: Path) -> None:
        weights = {"conv1.weight": torch.zeros(64, 3, 7, 7), "bn1.weight": torch.zeros(64)}
        assert "inflate" in self.refusal(weights, tmp_path)


def test_data_parallel_prefixes_are_dropped(tmp_path: Path) -> None:
    plan = make_plan(ResNets3d(), 18, "3d", 1e-5, stem_kernel=7, pool=EVERYWHERE)
    weights = random_weights(plan)
    RESNETS({f"module.{name}": tensor for name, tensor in weights.items()}, tmp_path / "checkpoint")
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        logits = load_checkpoint(tmp_path / "checkpoint")(clip)
    torch.testing.assert_close(logits, evaluate(plan, weights, clip), rtol=1e-4, atol=1e-4)


def test_the_converted_file_has_weights_and_metadata(tmp_path: Path) -> None:
    plan = make_plan(Vmz(18), 18, "2+1d", 1e-3, stem_width=45)
    weights = random_weights(plan)
    save_caffe2(weights, tmp_path / "checkpoint.pkl")
    output = convert_checkpoint(tmp_path / "checkpoint.pkl", tmp_path / "ours.safetensors")
    metadata = read_metadata(output)
    assert metadata["architecture"] == "r2plus1d_18"
    assert metadata["arguments"] == {"num_classes": 5, "in_channels": 3, "midplanes": "vmz", "bn_eps": 1e-3}
    assert metadata["converted_from"] == "VMZ in Caffe2"
    assert metadata["preprocessing"]["value_range"] == [0, 255]
    assert metadata["preprocessing"]["channels"] == "RGB"
    clip = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        logits = load_model(output)(clip)
    torch.testing.assert_close(logits, evaluate(plan, weights, clip), rtol=1e-4, atol=1e-4)
