"""Inflation: the features of a still video are those of the image, except where padding in time has an influence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.models import create_model, inflate
from ls3d.models.recognition._resnet3d import ResNet3d

DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
NORM = ("weight", "bias", "running_mean", "running_var")


def make_resnet3d(name: str, **arguments: Any) -> ResNet3d:
    model = create_model(name, **arguments)
    assert isinstance(model, ResNet3d)
    return model


def classifier(model: ResNet3d) -> nn.Linear:
    layer = model.get_classifier()
    assert isinstance(layer, nn.Linear)
    return layer


def make_resnet2d(depth: int, classes: int = 5) -> dict[str, Tensor]:
    """A 2D ResNet's tensors under torchvision's names."""
    state: dict[str, Tensor] = {}

    def add(conv: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
        state[f"{conv}.weight"] = torch.randn(outputs, inputs, kernel, kernel) * (2 / (inputs * kernel**2)) ** 0.5
        for key in NORM:
            state[f"{norm}.{key}"] = torch.rand(outputs) + 0.5
        state[f"{norm}.num_batches_tracked"] = torch.tensor(0)

    add("conv1", "bn1", 64, 3, 7)
    wide, inputs = 4 if depth >= 50 else 1, 64
    for stage, (count, width) in enumerate(zip(DEPTHS[depth], (64, 128, 256, 512), strict=True), 1):
        for index in range(count):
            block, outputs = f"layer{stage}.{index}", wide * width
            shapes = [(width, inputs, 1), (width, width, 3), (outputs, width, 1)]
            if wide == 1:
                shapes = [(width, inputs, 3), (width, width, 3)]
            for number, shape in enumerate(shapes, 1):
                add(f"{block}.conv{number}", f"{block}.bn{number}", *shape)
            if index == 0 and (stage > 1 or inputs != outputs):
                add(f"{block}.downsample.0", f"{block}.downsample.1", outputs, inputs, 1)
            inputs = outputs
    state["fc.weight"], state["fc.bias"] = torch.randn(classes, inputs), torch.randn(classes)
    return state


def run_resnet2d(state: dict[str, Tensor], depth: int, image: Tensor, pool: bool) -> Tensor:
    """Compute its last feature map, with ``torch.nn.functional``."""

    def conv(name: str, norm: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        scale, shift, mean, variance = (state[f"{norm}.{key}"] for key in NORM)
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        return F.batch_norm(x, mean, variance, scale, shift, eps=1e-5)

    x = conv("conv1", "bn1", image, 2).relu()
    x = F.max_pool2d(x, 3, 2, 1) if pool else x
    for stage, count in enumerate(DEPTHS[depth], 1):
        for index in range(count):
            block, stride = f"layer{stage}.{index}", 2 if index == 0 and stage > 1 else 1
            y = x
            for number in (1, 2, 3) if depth >= 50 else (1, 2):
                striding = number == (2 if depth >= 50 else 1)
                y = conv(f"{block}.conv{number}", f"{block}.bn{number}", y, stride if striding else 1)
                y = y.relu() if number < (3 if depth >= 50 else 2) else y
            down = f"{block}.downsample"
            shortcut = conv(f"{down}.0", f"{down}.1", x, stride) if f"{down}.0.weight" in state else x
            x = (y + shortcut).relu()
    return x


@pytest.mark.parametrize(
    ("name", "depth", "arguments"),
    [("i3d_r50", 50, {}), ("i3d_r50_nl", 50, {}), ("r3d_18", 18, {"temporal_strides": [1, 1, 1, 1], "bn_eps": 1e-5})],
)
@torch.no_grad()
def test_a_still_video_has_the_features_of_the_image(name: str, depth: int, arguments: dict[str, Any]) -> None:
    state = {key: tensor.double() for key, tensor in make_resnet2d(depth).items()}
    model = inflate(make_resnet3d(name, num_classes=5, **arguments).double().eval(), state)
    image = torch.randn(1, 3, 32, 32, dtype=torch.double)
    length = 40  # padding has an influence on 17 frames from either end, which leaves two frames in the middle
    video = image.unsqueeze(2).expand(-1, -1, length, -1, -1)
    middle = model.forward_features(video)
    middle = middle[:, :, middle.shape[2] // 2]
    torch.testing.assert_close(middle, run_resnet2d(state, depth, image, pool=name.startswith("i3d")))
    torch.testing.assert_close(classifier(model).weight, state["fc.weight"])


def test_another_number_of_classes_keeps_the_classifier(tmp_path: Path) -> None:
    torch.save(make_resnet2d(18, classes=1000), tmp_path / "resnet18.pth")
    model = make_resnet3d("r3d_18", num_classes=7)
    before = classifier(model).weight.clone()
    inflate(model, tmp_path / "resnet18.pth")
    assert torch.equal(classifier(model).weight, before)
    inflate(make_resnet3d("mc3_18", num_classes=0), tmp_path / "resnet18.pth")


@pytest.mark.parametrize(
    ("name", "message"),
    [("r3d_34", "lacks tensors that the 3D one has: layer1.2"), ("r2plus1d_18", "has tensors that the 3D one lacks")],
)
def test_a_network_that_does_not_fit(name: str, message: str) -> None:
    with torch.device("meta"):
        model = make_resnet3d(name)
    with pytest.raises(InputError, match=message):
        inflate(model, make_resnet2d(18))


def test_a_filter_that_does_not_fit() -> None:
    state = {**make_resnet2d(18), "conv1.weight": torch.zeros(64, 3, 3, 3)}
    with pytest.raises(InputError, match=r"stem.0.weight has shape \(64, 3, 3, 3\).*\(64, 3, 7, 7\)"):
        inflate(make_resnet3d("r3d_18"), state)
