"""Networks as ONNX files: what every registered one gives, the file's metadata, and jobs that run it."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.marks import slow_except
from helpers.videos import Clip, decode, planes
from torch import nn

from ls3d.enhance import EnhanceOptions, interpolate
from ls3d.errors import InputError, OutputExistsError
from ls3d.export import export_onnx
from ls3d.inference import Classifier, Enhancer
from ls3d.models import (
    EnhancementTraits,
    InterpolationNetwork,
    Network,
    RecognitionNet,
    RecognitionTraits,
    create_model,
    list_models,
    load_enhancement_model,
    load_model,
    model_info,
)

pytest.importorskip("onnxruntime")

#: Filters of FFmpeg, which are no graphs.
FILTERS = {"minterpolate", "nlmeans"}
#: Arguments of narrower or shallower networks.
SMALL: dict[str, dict[str, Any]] = {
    "vfi_ls3d": {"width": 8, "ls3d_blocks": [1, 6]},
    "vfi_conv3d": {"width": 8},
    "vfi_ls3d_plus_s": {"width": 8, "levels": 3},
    "vdn_ls3d": {"width": 8},
    "vsr_ls3d": {"width": 8},
}
QUICK = {"bicubic", "blend"}


def exportable(name: str) -> bool:
    traits = model_info(name).traits
    clips = isinstance(traits, RecognitionTraits) and traits.modalities == ("clip",)
    return name not in FILTERS and (clips or isinstance(traits, EnhancementTraits))


def create(name: str) -> Network:
    """The network with random weights where they are zero at initialization, so that every layer counts."""
    torch.manual_seed(0)
    network = create_model(name, **SMALL.get(name, {}))
    for parameter in network.parameters():
        if parameter.dim() > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return network.eval()


@pytest.mark.parametrize("name", slow_except([name for name in list_models() if exportable(name)], QUICK))
def test_every_network_gives_the_same_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    report = export_onnx(create(name), tmp_path / "network.onnx")
    assert max(report.differences.values()) <= 1e-4 * max(1.0, report.largest_value)


def test_a_file_holds_what_the_weights_file_does(tmp_path: Path) -> None:
    network = create_model("r2d_18", num_classes=3, frames=4)
    assert isinstance(network, RecognitionNet)
    clip = {"frames": 4, "fps": 10.0, "size": [64, 96], "share": 0.875}
    network.config = network.require_config().with_metadata(license="CC0", classes=["a", "b", "c"], clip=clip)
    export_onnx(network, tmp_path / "network.onnx")
    found = load_model(tmp_path / "network.onnx")
    assert isinstance(found, RecognitionNet)
    assert found.config == network.config
    clips = torch.randint(256, (2, 3, 4, 64, 96), dtype=torch.uint8)
    expected = Classifier(network).probabilities(clips)
    torch.testing.assert_close(Classifier(found).probabilities(clips), expected, rtol=1e-3, atol=1e-5)


def test_an_exported_network_takes_the_place_of_the_network_in_a_job(tmp_path: Path) -> None:
    network = create("vfi_ls3d")
    assert isinstance(network, InterpolationNetwork)
    export_onnx(network, tmp_path / "vfi.onnx")
    source = Clip(frames=4).write(tmp_path / "in.mp4")
    outputs = []
    for name, model in (("torch", network), ("onnx", tmp_path / "vfi.onnx")):
        interpolate(source, tmp_path / f"{name}.mkv", model=model, factor=2, options=EnhanceOptions(codec="ffv1"))
        outputs.append(decode(tmp_path / f"{name}.mkv"))
    assert len(outputs[0]) == len(outputs[1]) == 8
    for first, second in zip(*outputs, strict=True):
        for plane, other in zip(planes(first), planes(second), strict=True):
            assert abs(plane - other).max() <= 1


def test_times_are_fixed_in_the_file(tmp_path: Path) -> None:
    export_onnx("blend", tmp_path / "blend.onnx", times=[Fraction(1, 3)])
    network = load_enhancement_model(tmp_path / "blend.onnx")
    frames = torch.rand(1, 3, 2, 8, 8)
    made = Enhancer(network).interpolate(frames, [Fraction(1, 3)])
    torch.testing.assert_close(made[:, :, 0], frames[:, :, 0] * 2 / 3 + frames[:, :, 1] / 3)
    with pytest.raises(InputError, match=re.escape("makes frames at the times 0.333333, not at 0.5")):
        Enhancer(network).interpolate(frames, [Fraction(1, 2)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "network.txt"}, "path network.txt: expected a name that ends with .onnx"),
        ({"target": "ncnn"}, "target ncnn: expected onnxruntime, openvino, tensorrt"),
        ({"model": "bicubic", "times": [Fraction(1, 2)]}, "times bicubic doesn't interpolate"),
        ({"model": "vfi_conv3d", "times": [Fraction(1, 3)]}, "times 1/3: expected 1/4, 1/2 or 3/4"),
        ({"model": "vfi_conv3d", "size": (66, 64)}, "size 66x64: expected multiples of 4"),
        ({"model": "audio_resnet_18"}, "audio_resnet_18 can't be exported"),
        ({"model": "minterpolate"}, "the network can't be traced by torch.export"),
    ],
)
def test_what_cannot_be_exported(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    options = {"model": "blend", "path": "network.onnx", **arguments}
    if options["model"] in ("vfi_conv3d", "audio_resnet_18"):
        options["model"] = create_model(options["model"])
    path = options.pop("path")
    with pytest.raises(InputError, match=re.escape(message)):
        export_onnx(options.pop("model"), path if path.endswith("txt") else tmp_path / path, **options)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "blend.onnx").write_text("mine")
    with pytest.raises(OutputExistsError):
        export_onnx("blend", tmp_path / "blend.onnx")
    assert (tmp_path / "blend.onnx").read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"no model at all"])
def test_files_that_are_not_ours(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"other\.onnx can't be run by ONNX Runtime"):
        load_model(tmp_path / "other.onnx")
