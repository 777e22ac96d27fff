"""``ls3d_conv3d`` and ``bilateral_motion`` as standard operations, against the operators themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.textures import random_texture
from torch import Tensor, nn

from ls3d.export._graph import OperatorForm, capture, with_standard_operations
from ls3d.export._motion import bilateral_motion as exported_motion
from ls3d.export._operator import as_grid_sample
from ls3d.export._prepare import Signature
from ls3d.models.exported import OpenVinoSession
from ls3d.nn import LS3DConv3d
from ls3d.ops import Interpolation, bilateral_motion, ls3d_conv3d

ort = pytest.importorskip("onnxruntime")


@dataclass(frozen=True)
class Case:
    """A convolution of 12 channels to 8."""

    kernel: tuple[int, int, int] = (3, 3, 3)
    stride: tuple[int, int, int] = (1, 1, 1)
    padding: tuple[int, int, int] = (1, 1, 1)
    dilation: tuple[int, int, int] = (1, 1, 1)
    groups: int = 1
    offset_groups: int = 1
    modulation: bool = True
    interpolation: Interpolation = "bilinear"


CASES = {
    "plain": Case(),
    "no masks": Case(modulation=False),
    "over time": Case((3, 1, 1), padding=(1, 0, 0)),
    "uneven": Case((2, 3, 1), (2, 1, 3), (1, 0, 2), (1, 2, 1)),
    "groups": Case(groups=4),
    "offset groups": Case((2, 3, 3), offset_groups=3),
    "fewer groups than offset groups": Case(groups=2, offset_groups=4),
    "more groups than offset groups": Case(groups=4, offset_groups=2),
    "crossing groups": Case((2, 1, 3), padding=(0, 0, 1), groups=4, offset_groups=6),
    "bicubic": Case((1, 3, 3), padding=(0, 1, 1), interpolation="bicubic"),
}


def layer_of(case: Case, dtype: torch.dtype = torch.float32) -> LS3DConv3d:
    """The layer, with random predictors whose offsets reach beyond the frame."""
    torch.manual_seed(0)
    layer = LS3DConv3d(
        12,
        8,
        case.kernel,
        case.stride,
        case.padding,
        case.dilation,
        case.groups,
        modulation=case.modulation,
        offset_groups=case.offset_groups,
        interpolation=case.interpolation,
        dtype=dtype,
    )
    nn.init.normal_(layer.predictor.weight, std=0.2)
    return layer.eval()


@pytest.mark.parametrize("name", CASES)
def test_samples_of_grid_sample_equal_the_operator(name: str) -> None:
    layer = layer_of(CASES[name], torch.float64)
    clip = torch.randn(2, 12, 5, 9, 11, dtype=torch.float64)
    offset, mask = layer.predict(clip)
    arguments = (clip, offset, mask, layer.weight, layer.bias)
    options = (layer.stride, layer.padding, layer.dilation, layer.groups, layer.interpolation)
    expected = ls3d_conv3d(*arguments, *options)  # type: ignore[arg-type]
    torch.testing.assert_close(as_grid_sample(*arguments, *options), expected, rtol=1e-10, atol=1e-10)


class Layers(nn.Module):
    """Several layers on one clip; their outputs as one row for each sample."""

    def __init__(self, cases: list[Case]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer_of(case) for case in cases)

    def forward(self, *inputs: Tensor) -> Tensor:
        (clip,) = inputs
        return torch.cat([layer(clip).flatten(1) for layer in self.layers], dim=1)


@pytest.mark.parametrize("form", ["deform_conv", pytest.param("grid_sample", marks=pytest.mark.slow)])
def test_onnx_runtime_computes_the_operator_for_other_sizes(form: OperatorForm, tmp_path: Path) -> None:
    module = Layers(list(CASES.values()))
    dynamic = {"clip": {3: "height", 4: "width"}}
    signature = Signature(module, {"clip": torch.randn(2, 12, 5, 9, 11)}, dynamic, "rows")
    with torch.no_grad():
        standard = with_standard_operations(capture(signature), form)
        program = torch.onnx.export(standard, dynamo=True, verbose=False, opset_version=20, input_names=["clip"])
    assert program is not None
    kinds = [node.op_type for node in program.model.graph]
    bilinear = sum(case.interpolation == "bilinear" for case in CASES.values())
    assert kinds.count("DeformConv") == (bilinear if form == "deform_conv" else 0)
    assert kinds.count("GridSample") == (len(CASES) - bilinear if form == "deform_conv" else len(CASES))
    program.save(tmp_path / "layers.onnx")
    session = ort.InferenceSession(tmp_path / "layers.onnx", providers=["CPUExecutionProvider"])
    for shape in ((2, 12, 5, 9, 11), (2, 12, 5, 13, 8)):
        clip = torch.randn(shape)
        (found,) = session.run(None, {"clip": clip.numpy()})
        with torch.inference_mode():
            expected = module(clip)
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_openvino_computes_the_operator_for_other_sizes(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    module = Layers(list(CASES.values()))
    dynamic = {"clip": {3: "height", 4: "width"}}
    signature = Signature(module, {"clip": torch.randn(2, 12, 5, 9, 11)}, dynamic, "rows")
    with torch.no_grad():
        standard = with_standard_operations(capture(signature), "grid_sample")
        program = torch.onnx.export(standard, dynamo=True, verbose=False, opset_version=20)
        assert program is not None
        program.save(tmp_path / "layers.onnx")
        session = OpenVinoSession(tmp_path / "layers.onnx", {})
        for shape in ((2, 12, 5, 9, 11), (2, 12, 5, 13, 8)):
            clip = torch.randn(shape)
            torch.testing.assert_close(session(clip), module(clip), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 72), (61, 83)])
def test_motion_equals_the_operator_bit_by_bit(size: tuple[int, int]) -> None:
    """So that no rounding decides between motions that fit equally well."""
    height, width = size
    texture = random_texture(height + 16, width + 16)
    moved = texture[..., 8:-8, 8:-8], texture[..., 11 : 11 + height, 13 : 13 + width] * 0.7 + 0.1
    noise = torch.rand(2, 3, height, width), torch.rand(2, 3, height, width)
    for first, second in (moved, noise):
        expected = bilateral_motion(first, second, [0.25, 0.5], 4)
        found = exported_motion(first, second, [0.25, 0.5], 4)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
